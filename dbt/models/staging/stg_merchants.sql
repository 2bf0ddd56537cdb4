with

merchants as (

    select * from {{ source('landed', 'merchants') }}

)

select
    trim(merchant_id) as merchant_id,
    nullif(trim(name), '') as name,
    nullif(trim(region), '') as region,
    nullif(trim(tier), '') as tier,
    joined_on
from merchants
