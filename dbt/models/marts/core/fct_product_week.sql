{{ config(materialized='incremental') }}

with

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

all_series as (

    select * from {{ ref('int_series') }}

),

products as (

    select * from {{ ref('dim_product') }}

),

weeks as (

    select * from {{ ref('int_weeks') }}

),

exposure_weeks as (

    select * from {{ ref('int_exposure_weeks') }}

),

traffic_weeks as (

    select * from {{ ref('int_traffic_weeks') }}

),

refund_weeks as (

    select * from {{ ref('int_refund_weeks') }}

),

stock_weeks as (

    select * from {{ ref('int_stock_weeks') }}

),

prices as (

    select * from {{ ref('dim_price') }}

),

availability as (

    select
        bool_or(available) filter (where table_name = 'exposures') as has_exposures,
        bool_or(available) filter (where table_name = 'traffic') as has_traffic,
        bool_or(available) filter (where table_name = 'refunds') as has_refunds
    from {{ ref('stg_availability') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

series as (

    select
        all_series.product_id,
        all_series.region,
        all_series.first_week,
        products.category,
        products.merchant_id,
        cast(date_trunc('week', products.launched_on) as date) as launch_week
    from all_series
    inner join products on all_series.product_id = products.product_id

),

panel as (

    select
        series.*,
        weeks.week_start,
        weeks.days_elapsed,
        weeks.known_at
    from series
    inner join weeks on series.first_week <= weeks.week_start
    where weeks.week_start >= (select run.rebuild_week from run)

),

sales as (

    select
        week_start,
        product_id,
        region,
        sum(quantity) as units,
        sum(gmv) as gmv,
        sum(net_amount) as net_amount,
        count(distinct order_id) as orders,
        count(distinct customer_id) as buyers
    from order_lines
    where
        status <> 'cancelled'
        and week_start >= (select run.rebuild_week from run)
    group by week_start, product_id, region

),

-- A price counts for a week in which it held on any day up to the as-of.
regional_prices as (

    select
        panel.week_start,
        panel.product_id,
        panel.region,
        arg_max(prices.price, prices.valid_from) as price
    from panel
    inner join prices
        on
            panel.product_id = prices.product_id
            and panel.region = prices.region
            and panel.week_start + cast(panel.days_elapsed as integer) > prices.valid_from
            and panel.week_start <= coalesce(prices.valid_until, panel.week_start)
    group by panel.week_start, panel.product_id, panel.region

),

common_prices as (

    select
        panel.week_start,
        panel.product_id,
        arg_max(prices.price, prices.valid_from) as price
    from panel
    inner join prices
        on
            panel.product_id = prices.product_id
            and prices.region = '*'
            and panel.week_start + cast(panel.days_elapsed as integer) > prices.valid_from
            and panel.week_start <= coalesce(prices.valid_until, panel.week_start)
    group by panel.week_start, panel.product_id

)

select
    panel.week_start,
    panel.product_id,
    panel.region,
    panel.category,
    panel.merchant_id,
    cast(coalesce(sales.units, 0) as bigint) as units,
    cast(coalesce(sales.gmv, 0) as decimal(18, 2)) as gmv,
    cast(coalesce(sales.net_amount, 0) as decimal(18, 2)) as net_amount,
    coalesce(sales.orders, 0) as orders,
    coalesce(sales.buyers, 0) as buyers,
    if(availability.has_exposures, coalesce(exposure_weeks.exposure_share, 0), null) as exposure_share,
    if(availability.has_traffic, coalesce(traffic_weeks.impressions, 0), null) as impressions,
    if(availability.has_traffic, coalesce(traffic_weeks.clicks, 0), null) as clicks,
    if(availability.has_traffic, coalesce(traffic_weeks.carts, 0), null) as carts,
    if(availability.has_refunds, coalesce(refund_weeks.refunded_units, 0), null) as refunded_units,
    if(availability.has_refunds, coalesce(refund_weeks.refunded_amount, 0), null) as refunded_amount,
    stock_weeks.days_out_of_stock,
    coalesce(regional_prices.price, common_prices.price) as price,
    cast(greatest(0, panel.week_start - panel.launch_week) // 7 as bigint) as age_weeks,
    panel.days_elapsed,
    panel.known_at
from panel
cross join availability
left join sales
    on
        panel.week_start = sales.week_start
        and panel.product_id = sales.product_id
        and panel.region = sales.region
left join exposure_weeks
    on
        panel.week_start = exposure_weeks.week_start
        and panel.product_id = exposure_weeks.product_id
        and panel.region = exposure_weeks.region
left join traffic_weeks
    on
        panel.week_start = traffic_weeks.week_start
        and panel.product_id = traffic_weeks.product_id
        and panel.region = traffic_weeks.region
left join refund_weeks
    on
        panel.week_start = refund_weeks.week_start
        and panel.product_id = refund_weeks.product_id
        and panel.region = refund_weeks.region
left join stock_weeks
    on
        panel.week_start = stock_weeks.week_start
        and panel.product_id = stock_weeks.product_id
        and panel.region = stock_weeks.region
left join regional_prices
    on
        panel.week_start = regional_prices.week_start
        and panel.product_id = regional_prices.product_id
        and panel.region = regional_prices.region
left join common_prices
    on
        panel.week_start = common_prices.week_start
        and panel.product_id = common_prices.product_id
