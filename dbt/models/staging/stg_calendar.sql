with

calendar as (

    select * from {{ source('landed', 'calendar') }}

)

select
    date,
    trim(region) as region,
    trim(event) as event,
    kind
from calendar
