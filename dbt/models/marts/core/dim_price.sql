with

prices as (

    select * from {{ ref('stg_prices') }}

)

select
    product_id,
    region,
    valid_from,
    least(
        valid_until,
        cast(lead(valid_from) over earlier_first - interval 1 day as date)
    ) as valid_until,
    cast(price as double) as price,
    announced_on
from prices
window earlier_first as (partition by product_id, region order by valid_from)
