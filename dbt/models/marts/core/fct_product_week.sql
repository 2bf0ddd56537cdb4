{{ config(materialized='incremental') }}

with

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

first_sales as (

    select * from {{ ref('int_first_sales') }}

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

availability as (

    select * from {{ ref('stg_availability') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

series as (

    select
        first_sales.product_id,
        first_sales.region,
        first_sales.first_week,
        products.category,
        products.merchant_id,
        cast(date_trunc('week', products.launched_on) as date) as launch_week,
        availability.available as has_exposures
    from first_sales
    inner join products on first_sales.product_id = products.product_id
    inner join availability on availability.table_name = 'exposures'

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
    if(panel.has_exposures, coalesce(exposure_weeks.exposure_share, 0), null) as exposure_share,
    cast(greatest(0, panel.week_start - panel.launch_week) // 7 as bigint) as age_weeks,
    panel.days_elapsed,
    panel.known_at
from panel
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
