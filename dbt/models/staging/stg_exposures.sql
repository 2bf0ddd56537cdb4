with

exposures as (

    select * from {{ source('landed', 'exposures') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    exposures.date,
    cast(date_trunc('week', exposures.date) as date) as week_start,
    trim(exposures.product_id) as product_id,
    trim(exposures.region) as region,
    trim(exposures.placement) as placement,
    exposures.share
from exposures
cross join run
where exposures.date between run.rebuild_week and run.as_of
