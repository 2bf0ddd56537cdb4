with

calendar as (

    select * from {{ ref('stg_calendar') }}

)

select
    date,
    cast(date_trunc('week', date) as date) as week_start,
    region,
    event,
    kind
from calendar
