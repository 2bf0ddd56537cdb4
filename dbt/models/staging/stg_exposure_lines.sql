with

exposure_lines as (

    select * from {{ source('landed', 'exposure_lines') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    exposure_lines.plan_id,
    exposure_lines.as_of,
    exposure_lines.date,
    trim(exposure_lines.product_id) as product_id,
    trim(exposure_lines.channel) as channel,
    trim(exposure_lines.region) as region,
    exposure_lines.stage,
    exposure_lines.impressions,
    exposure_lines.propensity,
    exposure_lines.chance,
    exposure_lines.share
from exposure_lines
cross join run
where exposure_lines.date between run.rebuild_week and run.as_of
