{{ config(materialized='table') }}

with

product_days as (

    select * from {{ ref('fct_product_day') }}

),

prices as (

    select * from {{ ref('stg_prices') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

sales as (

    select
        product_id,
        region,
        min(date) as first_sold_on,
        max(date) as last_sold_on
    from product_days
    group by product_id, region

),

offers as (

    select
        prices.product_id,
        prices.region,
        min(prices.valid_from) as first_priced_on
    from prices
    cross join run
    where prices.valid_from <= run.as_of
    group by prices.product_id, prices.region

),

-- A price that holds everywhere does not say where the product is on offer: only sales do.
offers_everywhere as (

    select
        product_id,
        first_priced_on
    from offers
    where region = '*'

),

offers_in_regions as (

    select * from offers
    where region <> '*'

),

pairs as (

    select
        coalesce(sales.product_id, offers_in_regions.product_id) as product_id,
        coalesce(sales.region, offers_in_regions.region) as region,
        sales.first_sold_on,
        sales.last_sold_on,
        least(offers_in_regions.first_priced_on, offers_everywhere.first_priced_on) as first_priced_on
    from sales
    full outer join offers_in_regions
        on
            sales.product_id = offers_in_regions.product_id
            and sales.region = offers_in_regions.region
    left join offers_everywhere
        on offers_everywhere.product_id = coalesce(sales.product_id, offers_in_regions.product_id)

)

select
    product_id,
    region,
    first_sold_on,
    last_sold_on,
    first_priced_on,
    cast(date_trunc('week', least(first_sold_on, first_priced_on)) as date) as first_week
from pairs
