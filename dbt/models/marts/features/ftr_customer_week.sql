{{ config(materialized='incremental') }}

with

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

customers as (

    select * from {{ ref('dim_customer') }}

),

weeks as (

    select * from {{ ref('int_weeks') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

totals as (

    select
        customer_id,
        week_start,
        sum(quantity) as units,
        sum(gmv) as gmv,
        sum(net_amount) as net_amount,
        count(distinct order_id) as orders
    from order_lines
    where
        customer_id is not null
        and status <> 'cancelled'
        and week_start >= (select run.rebuild_week - 7 * 13 from run)
    group by customer_id, week_start

),

reached as (

    select
        *,
        unnest(generate_series(week_start, week_start + 7 * 13, interval 7 day)) as reached_week
    from totals

),

rolled as (

    select
        customer_id,
        cast(reached_week as date) as week_start,
        max(week_start) as last_week,
        sum(orders) filter (where reached_week < week_start + 7 * 4) as orders_4w,
        sum(orders) filter (where reached_week < week_start + 7 * 13) as orders_13w,
        sum(units) filter (where reached_week < week_start + 7 * 13) as units_13w,
        sum(gmv) filter (where reached_week < week_start + 7 * 4) as gmv_4w,
        sum(gmv) filter (where reached_week < week_start + 7 * 13) as gmv_13w,
        sum(net_amount) filter (where reached_week < week_start + 7 * 13) as net_amount_13w,
        count(*) filter (where reached_week < week_start + 7 * 13) as active_weeks_13w
    from reached
    where reached_week >= (select run.rebuild_week from run)
    group by customer_id, reached_week

)

select
    rolled.customer_id,
    weeks.event_timestamp,
    greatest(weeks.event_timestamp, weeks.known_at_13w) as created_timestamp,
    cast(
        (rolled.week_start - cast(date_trunc('week', customers.first_order_on) as date)) // 7 as bigint
    ) as age_weeks,
    cast((rolled.week_start - rolled.last_week) // 7 as bigint) as weeks_since_order,
    cast(coalesce(rolled.orders_4w, 0) as bigint) as orders_4w,
    cast(coalesce(rolled.orders_13w, 0) as bigint) as orders_13w,
    cast(coalesce(rolled.units_13w, 0) as bigint) as units_13w,
    cast(coalesce(rolled.gmv_4w, 0) as double) as gmv_4w,
    cast(coalesce(rolled.gmv_13w, 0) as double) as gmv_13w,
    cast(rolled.gmv_13w as double) / nullif(rolled.orders_13w, 0) as basket_13w,
    cast(rolled.gmv_13w - rolled.net_amount_13w as double) / nullif(rolled.gmv_13w, 0) as discount_share_13w,
    rolled.active_weeks_13w
from rolled
inner join weeks on rolled.week_start = weeks.week_start
inner join customers on rolled.customer_id = customers.customer_id
where weeks.days_elapsed = 7
