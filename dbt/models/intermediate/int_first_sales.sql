{{ config(materialized='table') }}

with

product_days as (

    select * from {{ ref('fct_product_day') }}

)

select
    product_id,
    region,
    min(date) as first_sold_on,
    max(date) as last_sold_on,
    cast(date_trunc('week', min(date)) as date) as first_week
from product_days
group by product_id, region
