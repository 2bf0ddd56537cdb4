with

visits as (

    select * from {{ source('landed', 'visits') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    visits.date,
    trim(visits.region) as region,
    trim(visits.category) as category,
    trim(visits.channel) as channel,
    visits.visits,
    visits.buys,
    visits.known_at
from visits
cross join run
where visits.date between run.rebuild_from and run.as_of
