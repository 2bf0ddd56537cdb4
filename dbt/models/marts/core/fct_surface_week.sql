{{ config(materialized='incremental') }}

with

traffic as (

    select * from {{ ref('stg_traffic') }}

),

products as (

    select * from {{ ref('stg_products') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

shown as (

    select
        traffic.week_start,
        products.category,
        traffic.region,
        traffic.channel,
        sum(traffic.impressions) as impressions,
        sum(traffic.clicks) as clicks,
        sum(traffic.carts) as carts
    from traffic
    inner join products on traffic.product_id = products.product_id
    group by traffic.week_start, products.category, traffic.region, traffic.channel

),

sold as (

    select
        week_start,
        category,
        region,
        channel,
        count(*) as orders
    from order_lines
    where
        status <> 'cancelled'
        and week_start >= (select run.rebuild_week from run)
    group by week_start, category, region, channel

)

select
    shown.week_start,
    shown.category,
    shown.region,
    shown.channel,
    cast(shown.impressions as bigint) as impressions,
    cast(shown.clicks as bigint) as clicks,
    cast(shown.carts as bigint) as carts,
    coalesce(sold.orders, 0) as orders
from shown
left join sold
    on
        shown.week_start = sold.week_start
        and shown.category = sold.category
        and shown.region = sold.region
        and shown.channel = sold.channel
