with

refunds as (

    select * from {{ source('landed', 'refunds') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    trim(refunds.refund_id) as refund_id,
    refunds.line_number,
    refunds.refunded_at,
    cast(refunds.refunded_at as date) as refund_date,
    cast(date_trunc('week', refunds.refunded_at) as date) as week_start,
    nullif(trim(refunds.order_id), '') as order_id,
    nullif(trim(refunds.customer_id), '') as customer_id,
    trim(refunds.product_id) as product_id,
    trim(refunds.region) as region,
    refunds.quantity,
    refunds.amount,
    nullif(trim(refunds.reason), '') as reason,
    refunds.known_at
from refunds
cross join run
where cast(refunds.refunded_at as date) between run.rebuild_week and run.as_of
