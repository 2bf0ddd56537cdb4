{{ config(materialized='incremental') }}
-- depends_on: {{ ref('stg_run') }}

with

visits as (

    select * from {{ ref('stg_visits') }}

)

select
    date,
    region,
    category,
    channel,
    visits,
    buys,
    known_at
from visits
