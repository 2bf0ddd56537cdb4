{{ config(materialized='incremental') }}
-- depends_on: {{ ref('stg_run') }}

with

refunds as (

    select * from {{ ref('stg_refunds') }}

),

products as (

    select * from {{ ref('stg_products') }}

)

select
    refunds.refund_id,
    refunds.line_number,
    refunds.refunded_at,
    refunds.refund_date,
    refunds.week_start,
    refunds.order_id,
    refunds.customer_id,
    refunds.product_id,
    products.merchant_id,
    products.category,
    refunds.region,
    refunds.quantity,
    cast(refunds.amount as decimal(18, 2)) as amount,
    refunds.reason,
    refunds.known_at
from refunds
left join products on refunds.product_id = products.product_id
