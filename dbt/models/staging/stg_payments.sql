with

payments as (

    select * from {{ source('landed', 'payments') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    trim(payments.order_id) as order_id,
    payments.payment_number,
    payments.paid_at,
    cast(payments.paid_at as date) as payment_date,
    trim(payments.method) as method,
    payments.installments,
    payments.amount,
    payments.known_at
from payments
cross join run
where cast(payments.paid_at as date) between run.rebuild_from and run.as_of
