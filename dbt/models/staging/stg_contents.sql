with

contents as (

    select * from {{ source('landed', 'contents') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    trim(contents.content_id) as content_id,
    trim(contents.creator_id) as creator_id,
    contents.known_at
from contents
cross join run
where cast(contents.started_at as date) <= run.as_of
