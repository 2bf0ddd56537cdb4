{{ config(materialized='incremental') }}
-- depends_on: {{ ref('stg_run') }}

with

payments as (

    select * from {{ ref('stg_payments') }}

)

select
    order_id,
    payment_number,
    paid_at,
    payment_date,
    method,
    installments,
    cast(amount as decimal(18, 2)) as amount,
    known_at
from payments
