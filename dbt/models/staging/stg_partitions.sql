with

partitions as (

    select * from {{ source('landed', 'pending_partitions') }}

)

select
    table_name,
    day as date,
    cast(date_trunc('week', day) as date) as week_start,
    cast(known as timestamp) + interval 1 day as known_at
from partitions
where day is not null
