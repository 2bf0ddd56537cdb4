{{ config(materialized='incremental') }}

with

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

regions as (

    select * from {{ ref('dim_region') }}

),

weeks as (

    select * from {{ ref('int_weeks') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

totals as (

    select
        region,
        week_start,
        sum(quantity) as units,
        sum(gmv) as gmv,
        sum(net_amount) as net_amount,
        count(distinct order_id) as orders,
        count(distinct customer_id) as buyers,
        count(distinct product_id) as active_products
    from order_lines
    where
        status <> 'cancelled'
        and week_start >= (select run.rebuild_week - 7 * 12 from run)
    group by region, week_start

),

rolled as (

    select
        regions.region,
        weeks.week_start,
        weeks.event_timestamp,
        greatest(weeks.event_timestamp, weeks.known_at_13w) as created_timestamp,
        cast(date_trunc('week', regions.first_day) as date) as first_week,
        coalesce(totals.units, 0) as units_1w,
        sum(coalesce(totals.units, 0)) over last_4w as units_4w,
        coalesce(sum(totals.units) over previous_4w, 0) as units_prev_4w,
        coalesce(totals.gmv, 0) as gmv_1w,
        sum(coalesce(totals.gmv, 0)) over last_4w as gmv_4w,
        sum(coalesce(totals.gmv, 0)) over last_13w as gmv_13w,
        sum(coalesce(totals.net_amount, 0)) over last_4w as net_amount_4w,
        sum(coalesce(totals.orders, 0)) over last_4w as orders_4w,
        coalesce(totals.buyers, 0) as buyers_1w,
        coalesce(totals.active_products, 0) as active_products_1w
    from regions
    inner join weeks on date_trunc('week', regions.first_day) <= weeks.week_start
    left join totals
        on
            regions.region = totals.region
            and weeks.week_start = totals.week_start
    where
        weeks.days_elapsed = 7
        and weeks.week_start >= (select run.rebuild_week - 7 * 12 from run)
    window
        last_4w as (
            partition by regions.region order by weeks.week_start
            rows between 3 preceding and current row
        ),
        last_13w as (
            partition by regions.region order by weeks.week_start
            rows between 12 preceding and current row
        ),
        previous_4w as (
            partition by regions.region order by weeks.week_start
            rows between 7 preceding and 4 preceding
        )

)

select
    region,
    event_timestamp,
    created_timestamp,
    cast((week_start - first_week) // 7 as bigint) as age_weeks,
    cast(units_1w as bigint) as units_1w,
    cast(units_4w as bigint) as units_4w,
    cast(gmv_1w as double) as gmv_1w,
    cast(gmv_4w as double) as gmv_4w,
    cast(gmv_13w as double) as gmv_13w,
    cast(orders_4w as bigint) as orders_4w,
    buyers_1w,
    active_products_1w,
    ln(cast(units_4w + 1 as double) / cast(units_prev_4w + 1 as double)) as trend_4w,
    cast(gmv_4w as double) / nullif(orders_4w, 0) as basket_4w,
    cast(gmv_4w - net_amount_4w as double) / nullif(gmv_4w, 0) as discount_share_4w
from rolled
where week_start >= (select run.rebuild_week from run)
