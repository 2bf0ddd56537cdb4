{{ config(materialized="incremental") }}

with

product_weeks as (

    select * from {{ ref('fct_product_week') }}

),

product_days as (

    select * from {{ ref('fct_product_day') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

products as (

    select * from {{ ref('dim_product') }}

),

weeks as (

    select * from {{ ref('int_weeks') }}

),

run as (

    select
        *,
        rebuild_week - 7 * 12 as since_13w,
        rebuild_week - 7 * 3 as since_4w
    from {{ ref('stg_run') }}

),

lives as (

    select
        products.product_id,
        products.category,
        products.merchant_id,
        cast(date_trunc('week', products.launched_on) as date) as launch_week,
        greatest(
            cast(date_trunc('week', least(products.launched_on, products.first_sold_on)) as date),
            cast(date_trunc('week', run.history_from) as date)
        ) as first_week
    from products
    cross join run

),

spine as (

    select
        lives.product_id,
        lives.category,
        lives.merchant_id,
        lives.launch_week,
        weeks.week_start,
        weeks.event_timestamp,
        greatest(weeks.event_timestamp, weeks.known_at_13w) as created_timestamp
    from lives
    inner join weeks on lives.first_week <= weeks.week_start
    where
        weeks.days_elapsed = 7
        and weeks.week_start >= (select run.since_13w from run)

),

totals as (

    select
        product_id,
        week_start,
        sum(units) as units,
        sum(gmv) as gmv,
        sum(net_amount) as net_amount,
        sum(cast(exposure_share as decimal(18, 6))) as exposure_share,
        count(exposure_share) as exposed_series
    from product_weeks
    where week_start >= (select run.since_13w from run)
    group by product_id, week_start

),

recent_lines as (

    select
        order_lines.product_id,
        order_lines.order_id,
        order_lines.customer_id,
        order_lines.region,
        unnest(generate_series(order_lines.week_start, order_lines.week_start + 7 * 3, interval 7 day)) as week_start
    from order_lines
    where
        order_lines.status <> 'cancelled'
        and order_lines.week_start >= (select run.since_4w from run)

),

reach as (

    select
        product_id,
        cast(week_start as date) as week_start,
        count(distinct order_id) as orders_4w,
        count(distinct customer_id) as buyers_4w,
        count(distinct region) as regions_4w
    from recent_lines
    where week_start >= (select run.rebuild_week from run)
    group by product_id, week_start

),

earlier_sales as (

    select
        product_id,
        cast(date_trunc('week', max(date)) as date) as last_week
    from product_days
    where date < (select run.since_13w from run)
    group by product_id

),

rolled as (

    select
        spine.*,
        coalesce(totals.units, 0) as units_1w,
        sum(coalesce(totals.units, 0)) over last_4w as units_4w,
        sum(coalesce(totals.units, 0)) over last_13w as units_13w,
        coalesce(sum(coalesce(totals.units, 0)) over previous_4w, 0) as units_prev_4w,
        coalesce(totals.gmv, 0) as gmv_1w,
        sum(coalesce(totals.gmv, 0)) over last_4w as gmv_4w,
        sum(coalesce(totals.gmv, 0)) over last_13w as gmv_13w,
        sum(coalesce(totals.net_amount, 0)) over last_4w as net_amount_4w,
        sum(totals.exposure_share) over last_4w as exposure_share_4w,
        sum(totals.exposed_series) over last_4w as exposed_series_4w,
        max(if(totals.units > 0, spine.week_start, null)) over so_far as last_week
    from spine
    left join totals
        on
            spine.product_id = totals.product_id
            and spine.week_start = totals.week_start
    window
        so_far as (partition by spine.product_id order by spine.week_start),
        last_4w as (partition by spine.product_id order by spine.week_start rows between 3 preceding and current row),
        last_13w as (partition by spine.product_id order by spine.week_start rows between 12 preceding and current row),
        previous_4w as (partition by spine.product_id order by spine.week_start rows between 7 preceding and 4 preceding)

),

window_rows as (

    select
        rolled.*,
        coalesce(rolled.last_week, earlier_sales.last_week) as last_sale_week,
        coalesce(reach.orders_4w, 0) as orders_4w,
        coalesce(reach.buyers_4w, 0) as buyers_4w,
        coalesce(reach.regions_4w, 0) as regions_4w,
        sum(rolled.gmv_4w) over category_peers as category_gmv_4w,
        sum(rolled.units_4w) over category_peers as category_units_4w,
        rank() over (category_peers order by rolled.gmv_4w desc) as category_rank_4w,
        sum(rolled.gmv_13w) over merchant_peers as merchant_gmv_13w,
        count(*) filter (where rolled.units_13w > 0) over merchant_peers as merchant_products_13w
    from rolled
    left join reach
        on
            rolled.product_id = reach.product_id
            and rolled.week_start = reach.week_start
    left join earlier_sales on rolled.product_id = earlier_sales.product_id
    where rolled.week_start >= (select run.rebuild_week from run)
    window
        category_peers as (partition by rolled.category, rolled.week_start),
        merchant_peers as (partition by rolled.merchant_id, rolled.week_start)

)

select
    product_id,
    event_timestamp,
    created_timestamp,
    cast(greatest(0, week_start - launch_week) // 7 as bigint) as age_weeks,
    cast(units_1w as bigint) as units_1w,
    cast(units_4w as bigint) as units_4w,
    cast(units_13w as bigint) as units_13w,
    cast(gmv_1w as double) as gmv_1w,
    cast(gmv_4w as double) as gmv_4w,
    cast(gmv_13w as double) as gmv_13w,
    orders_4w,
    buyers_4w,
    cast(units_prev_4w as bigint) as units_prev_4w,
    ln(cast(units_4w + 1 as double) / cast(units_prev_4w + 1 as double)) as trend_4w,
    cast(gmv_4w as double) / nullif(units_4w, 0) as price_4w,
    cast(gmv_4w - net_amount_4w as double) / nullif(gmv_4w, 0) as discount_share_4w,
    regions_4w,
    cast((week_start - last_sale_week) // 7 as bigint) as weeks_since_sale,
    cast(exposure_share_4w as double) / nullif(exposed_series_4w, 0) as exposure_share_4w,
    cast(category_gmv_4w as double) as category_gmv_4w,
    cast(gmv_4w as double) / nullif(category_gmv_4w, 0) as category_share_4w,
    category_rank_4w,
    (cast(gmv_4w as double) / nullif(units_4w, 0))
    / (cast(category_gmv_4w as double) / nullif(category_units_4w, 0)) as price_index_4w,
    cast(merchant_gmv_13w as double) as merchant_gmv_13w,
    merchant_products_13w
from window_rows
