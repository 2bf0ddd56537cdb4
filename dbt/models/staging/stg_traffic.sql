with

traffic as (

    select * from {{ source('landed', 'traffic') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    traffic.date,
    cast(date_trunc('week', traffic.date) as date) as week_start,
    trim(traffic.product_id) as product_id,
    trim(traffic.region) as region,
    trim(traffic.channel) as channel,
    nullif(trim(traffic.content_id), '') as content_id,
    traffic.impressions,
    traffic.clicks,
    traffic.carts
from traffic
cross join run
where traffic.date between run.rebuild_week and run.as_of
