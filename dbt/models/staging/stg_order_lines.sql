with

order_lines as (

    select * from {{ source('landed', 'order_lines') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

cleaned as (

    select
        trim(order_id) as order_id,
        line_number,
        ordered_at,
        cast(ordered_at as date) as order_date,
        cast(date_trunc('week', ordered_at) as date) as week_start,
        nullif(trim(customer_id), '') as customer_id,
        trim(product_id) as product_id,
        trim(region) as region,
        trim(channel) as channel,
        quantity,
        gross_amount,
        merchant_discount,
        platform_discount,
        freight_amount,
        nullif(trim(coupon_id), '') as coupon_id,
        nullif(trim(content_id), '') as content_id,
        nullif(trim(address_id), '') as address_id,
        status,
        known_at
    from order_lines

)

select cleaned.*
from cleaned
cross join run
where cleaned.order_date between run.rebuild_from and run.as_of
