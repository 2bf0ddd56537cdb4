with

availability as (

    select * from {{ source('landed', 'availability') }}

)

select
    table_name,
    available
from availability
