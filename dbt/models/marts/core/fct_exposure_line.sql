{{ config(materialized='incremental') }}

with

exposure_lines as (

    select * from {{ ref('stg_exposure_lines') }}

),

traffic as (

    select * from {{ ref('stg_traffic') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

availability as (

    select available as has_traffic
    from {{ ref('stg_availability') }}
    where table_name = 'traffic'

),

run as (

    select * from {{ ref('stg_run') }}

),

lines as (

    select exposure_lines.*
    from exposure_lines
    cross join run
    where exposure_lines.date >= run.rebuild_from

),

shown as (

    select
        lines.date,
        lines.product_id,
        lines.channel,
        lines.region,
        sum(traffic.impressions) as impressions,
        sum(traffic.clicks) as clicks,
        sum(traffic.carts) as carts
    from lines
    inner join traffic
        on
            lines.date = traffic.date
            and lines.product_id = traffic.product_id
            and lines.channel in (traffic.channel, 'all')
            and lines.region in (traffic.region, 'all')
    group by lines.date, lines.product_id, lines.channel, lines.region

),

sold as (

    select
        lines.date,
        lines.product_id,
        lines.channel,
        lines.region,
        count(*) as orders,
        sum(order_lines.quantity) as units,
        sum(order_lines.gmv) as gmv
    from lines
    inner join order_lines
        on
            lines.date = order_lines.order_date
            and lines.product_id = order_lines.product_id
            and lines.channel in (order_lines.channel, 'all')
            and lines.region in (order_lines.region, 'all')
    where order_lines.status <> 'cancelled'
    group by lines.date, lines.product_id, lines.channel, lines.region

)

select
    lines.date,
    lines.product_id,
    lines.channel,
    lines.region,
    lines.plan_id,
    lines.as_of,
    lines.stage,
    lines.chance,
    lines.share,
    lines.propensity,
    lines.impressions,
    if(availability.has_traffic, cast(coalesce(shown.impressions, 0) as bigint), null) as delivered,
    if(availability.has_traffic, cast(coalesce(shown.clicks, 0) as bigint), null) as clicks,
    if(availability.has_traffic, cast(coalesce(shown.carts, 0) as bigint), null) as carts,
    cast(coalesce(sold.orders, 0) as bigint) as orders,
    cast(coalesce(sold.units, 0) as bigint) as units,
    cast(coalesce(sold.gmv, 0) as decimal(18, 2)) as gmv
from lines
cross join availability
left join shown
    on
        lines.date = shown.date
        and lines.product_id = shown.product_id
        and lines.channel = shown.channel
        and lines.region = shown.region
left join sold
    on
        lines.date = sold.date
        and lines.product_id = sold.product_id
        and lines.channel = sold.channel
        and lines.region = sold.region
