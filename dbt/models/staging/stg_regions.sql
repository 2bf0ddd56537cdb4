with

regions as (

    select * from {{ source('landed', 'regions') }}

)

select
    trim(region) as region,
    nullif(trim(name), '') as name,
    nullif(trim(parent), '') as parent
from regions
