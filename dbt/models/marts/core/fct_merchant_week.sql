{{ config(materialized='incremental') }}

with

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

series as (

    select * from {{ ref('int_series') }}

),

products as (

    select * from {{ ref('dim_product') }}

),

weeks as (

    select * from {{ ref('int_weeks') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

first_weeks as (

    select
        products.merchant_id,
        min(series.first_week) as first_week
    from series
    inner join products on series.product_id = products.product_id
    group by products.merchant_id

),

panel as (

    select
        weeks.week_start,
        weeks.days_elapsed,
        first_weeks.merchant_id
    from first_weeks
    inner join weeks on first_weeks.first_week <= weeks.week_start
    where weeks.week_start >= (select run.rebuild_week from run)

),

sales as (

    select
        week_start,
        merchant_id,
        sum(quantity) as units,
        sum(gmv) as gmv,
        sum(net_amount) as net_amount,
        count(distinct order_id) as orders,
        count(distinct customer_id) as buyers,
        count(distinct product_id) as active_products
    from order_lines
    where
        status <> 'cancelled'
        and week_start >= (select run.rebuild_week from run)
    group by week_start, merchant_id

)

select
    panel.week_start,
    panel.merchant_id,
    cast(coalesce(sales.units, 0) as bigint) as units,
    cast(coalesce(sales.gmv, 0) as decimal(18, 2)) as gmv,
    cast(coalesce(sales.net_amount, 0) as decimal(18, 2)) as net_amount,
    coalesce(sales.orders, 0) as orders,
    coalesce(sales.buyers, 0) as buyers,
    coalesce(sales.active_products, 0) as active_products,
    panel.days_elapsed
from panel
left join sales
    on
        panel.week_start = sales.week_start
        and panel.merchant_id = sales.merchant_id
