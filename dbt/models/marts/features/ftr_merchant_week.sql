{{ config(materialized='incremental') }}

with

merchant_weeks as (

    select * from {{ ref('fct_merchant_week') }}

),

merchants as (

    select * from {{ ref('dim_merchant') }}

),

weeks as (

    select * from {{ ref('int_weeks') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

rolled as (

    select
        merchant_weeks.merchant_id,
        merchant_weeks.week_start,
        weeks.event_timestamp,
        greatest(weeks.event_timestamp, weeks.known_at_13w) as created_timestamp,
        merchant_weeks.units as units_1w,
        sum(merchant_weeks.units) over last_4w as units_4w,
        coalesce(sum(merchant_weeks.units) over previous_4w, 0) as units_prev_4w,
        merchant_weeks.gmv as gmv_1w,
        sum(merchant_weeks.gmv) over last_4w as gmv_4w,
        sum(merchant_weeks.gmv) over last_13w as gmv_13w,
        sum(merchant_weeks.net_amount) over last_4w as net_amount_4w,
        sum(merchant_weeks.orders) over last_4w as orders_4w,
        merchant_weeks.active_products as active_products_1w,
        max(merchant_weeks.active_products) over last_13w as active_products_peak_13w
    from merchant_weeks
    inner join weeks on merchant_weeks.week_start = weeks.week_start
    where
        merchant_weeks.days_elapsed = 7
        and merchant_weeks.week_start >= (select run.rebuild_week - 7 * 12 from run)
    window
        last_4w as (
            partition by merchant_weeks.merchant_id order by merchant_weeks.week_start
            rows between 3 preceding and current row
        ),
        last_13w as (
            partition by merchant_weeks.merchant_id order by merchant_weeks.week_start
            rows between 12 preceding and current row
        ),
        previous_4w as (
            partition by merchant_weeks.merchant_id order by merchant_weeks.week_start
            rows between 7 preceding and 4 preceding
        )

)

select
    rolled.merchant_id,
    rolled.event_timestamp,
    rolled.created_timestamp,
    cast(
        (rolled.week_start - cast(date_trunc('week', merchants.first_sold_on) as date)) // 7 as bigint
    ) as age_weeks,
    rolled.units_1w,
    cast(rolled.units_4w as bigint) as units_4w,
    cast(rolled.gmv_1w as double) as gmv_1w,
    cast(rolled.gmv_4w as double) as gmv_4w,
    cast(rolled.gmv_13w as double) as gmv_13w,
    cast(rolled.orders_4w as bigint) as orders_4w,
    ln(cast(rolled.units_4w + 1 as double) / cast(rolled.units_prev_4w + 1 as double)) as trend_4w,
    cast(rolled.gmv_4w as double) / nullif(rolled.units_4w, 0) as price_4w,
    cast(rolled.gmv_4w - rolled.net_amount_4w as double) / nullif(rolled.gmv_4w, 0) as discount_share_4w,
    rolled.active_products_1w,
    rolled.active_products_peak_13w
from rolled
inner join merchants on rolled.merchant_id = merchants.merchant_id
where rolled.week_start >= (select run.rebuild_week from run)
