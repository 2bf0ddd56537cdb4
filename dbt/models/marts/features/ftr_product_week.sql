{{ config(materialized='incremental') }}

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
    where products.launched_on is not null

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
        cast(sum(units) as bigint) as units,
        cast(sum(gmv) as decimal(18, 2)) as gmv,
        cast(sum(net_amount) as decimal(18, 2)) as net_amount,
        cast(sum(orders) as bigint) as orders,
        cast(sum(cast(exposure_share as decimal(18, 6))) as decimal(18, 6)) as exposure_share,
        count(exposure_share) as exposed_series
    from product_weeks
    where week_start >= (select run.since_13w from run)
    group by product_id, week_start

),

{% for counted, column in [('buyers', 'customer_id'), ('regions', 'region')] -%}

{#- A buyer or region counts for four weeks or until it counts anew; this spares a count(distinct). -#}
{{ counted }}_spells as (

    select
        product_id,
        week_start,
        coalesce(
            lead(week_start) over (partition by product_id, {{ column }} order by week_start),
            week_start + 7 * 4
        ) as next_week
    from order_lines
    where
        {{ column }} is not null
        and status <> 'cancelled'
        and week_start >= (select run.since_4w from run)
    group by product_id, {{ column }}, week_start

),

{{ counted }}_weeks as (

    select
        product_id,
        unnest(range(week_start, least(next_week, week_start + 7 * 4), interval 7 day)) as week_start
    from {{ counted }}_spells

),

{{ counted }} as (

    select
        product_id,
        week_start,
        count(*) as {{ counted }}_4w
    from {{ counted }}_weeks
    group by product_id, week_start

),

{% endfor -%}

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
        sum(coalesce(totals.orders, 0)) over last_4w as orders_4w,
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
        last_4w as (
            partition by spine.product_id order by spine.week_start
            rows between 3 preceding and current row
        ),
        last_13w as (
            partition by spine.product_id order by spine.week_start
            rows between 12 preceding and current row
        ),
        previous_4w as (
            partition by spine.product_id order by spine.week_start
            rows between 7 preceding and 4 preceding
        )

),

built as (

    select *
    from rolled
    where week_start >= (select run.rebuild_week from run)

),

categories as (

    select
        category,
        week_start,
        sum(units_4w) as category_units_4w,
        sum(gmv_4w) as category_gmv_4w
    from built
    group by category, week_start

),

merchants as (

    select
        merchant_id,
        week_start,
        sum(gmv_13w) as merchant_gmv_13w,
        count(*) filter (where units_13w > 0) as merchant_products_13w
    from built
    group by merchant_id, week_start

)

select
    built.product_id,
    built.event_timestamp,
    built.created_timestamp,
    cast(greatest(0, built.week_start - built.launch_week) // 7 as bigint) as age_weeks,
    cast(built.units_1w as bigint) as units_1w,
    cast(built.units_4w as bigint) as units_4w,
    cast(built.units_13w as bigint) as units_13w,
    cast(built.gmv_1w as double) as gmv_1w,
    cast(built.gmv_4w as double) as gmv_4w,
    cast(built.gmv_13w as double) as gmv_13w,
    cast(built.orders_4w as bigint) as orders_4w,
    coalesce(buyers.buyers_4w, 0) as buyers_4w,
    cast(built.units_prev_4w as bigint) as units_prev_4w,
    ln(cast(built.units_4w + 1 as double) / cast(built.units_prev_4w + 1 as double)) as trend_4w,
    cast(built.gmv_4w as double) / nullif(built.units_4w, 0) as price_4w,
    cast(built.gmv_4w - built.net_amount_4w as double) / nullif(built.gmv_4w, 0) as discount_share_4w,
    coalesce(regions.regions_4w, 0) as regions_4w,
    cast(
        (built.week_start - coalesce(built.last_week, earlier_sales.last_week)) // 7 as bigint
    ) as weeks_since_sale,
    cast(built.exposure_share_4w as double) / nullif(built.exposed_series_4w, 0) as exposure_share_4w,
    cast(categories.category_gmv_4w as double) as category_gmv_4w,
    cast(built.gmv_4w as double) / nullif(categories.category_gmv_4w, 0) as category_share_4w,
    rank() over (
        partition by built.category, built.week_start order by built.gmv_4w desc
    ) as category_rank_4w,
    (cast(built.gmv_4w as double) / nullif(built.units_4w, 0))
    / (cast(nullif(categories.category_gmv_4w, 0) as double) / nullif(categories.category_units_4w, 0))
        as price_index_4w,
    cast(merchants.merchant_gmv_13w as double) as merchant_gmv_13w,
    merchants.merchant_products_13w
from built
inner join categories
    on
        built.category = categories.category
        and built.week_start = categories.week_start
inner join merchants
    on
        built.merchant_id = merchants.merchant_id
        and built.week_start = merchants.week_start
left join buyers
    on
        built.product_id = buyers.product_id
        and built.week_start = buyers.week_start
left join regions
    on
        built.product_id = regions.product_id
        and built.week_start = regions.week_start
left join earlier_sales on built.product_id = earlier_sales.product_id
