with

merchants as (

    select * from {{ ref('stg_merchants') }}

),

products as (

    select * from {{ ref('dim_product') }}

),

ranges as (

    select
        merchant_id,
        min(first_sold_on) as first_sold_on,
        count(*) as products
    from products
    group by merchant_id

)

select
    merchants.merchant_id,
    merchants.name,
    merchants.region,
    merchants.tier,
    merchants.joined_on,
    ranges.first_sold_on,
    coalesce(ranges.products, 0) as products
from merchants
left join ranges on merchants.merchant_id = ranges.merchant_id
