with

refunds as (

    select * from {{ ref('stg_refunds') }}

)

select
    week_start,
    product_id,
    region,
    cast(sum(quantity) as bigint) as refunded_units,
    cast(sum(amount) as decimal(18, 2)) as refunded_amount
from refunds
group by week_start, product_id, region
