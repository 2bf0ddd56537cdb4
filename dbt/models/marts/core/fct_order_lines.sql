{{ config(materialized='incremental') }}
-- depends_on: {{ ref('stg_run') }}

with

order_lines as (

    select * from {{ ref('stg_order_lines') }}

),

products as (

    select * from {{ ref('stg_products') }}

),

amounts as (

    select
        *,
        cast(if(status = 'cancelled', 0, gross_amount) as decimal(18, 2)) as gmv,
        cast(if(status = 'cancelled', 0, merchant_discount) as decimal(18, 2)) as paid_by_merchant,
        cast(if(status = 'cancelled', 0, platform_discount) as decimal(18, 2)) as paid_by_platform,
        cast(if(status = 'cancelled', 0, freight_amount) as decimal(18, 2)) as freight
    from order_lines

)

select
    amounts.order_id,
    amounts.line_number,
    amounts.ordered_at,
    amounts.order_date,
    amounts.week_start,
    amounts.customer_id,
    amounts.product_id,
    products.merchant_id,
    products.category,
    amounts.region,
    amounts.channel,
    amounts.quantity,
    amounts.gmv,
    amounts.paid_by_merchant as merchant_discount,
    amounts.paid_by_platform as platform_discount,
    cast(amounts.gmv - amounts.paid_by_merchant - amounts.paid_by_platform as decimal(18, 2)) as net_amount,
    amounts.freight as freight_amount,
    amounts.coupon_id,
    amounts.content_id,
    amounts.address_id,
    amounts.status,
    amounts.known_at
from amounts
left join products on amounts.product_id = products.product_id
