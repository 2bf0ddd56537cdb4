with

prices as (

    select * from {{ source('landed', 'prices') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    trim(prices.product_id) as product_id,
    trim(prices.region) as region,
    prices.valid_from,
    prices.valid_until,
    prices.price,
    coalesce(prices.announced_on, prices.valid_from) as announced_on
from prices
cross join run
where coalesce(prices.announced_on, prices.valid_from) <= run.as_of
