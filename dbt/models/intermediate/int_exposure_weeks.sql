with

exposures as (

    select * from {{ ref('stg_exposures') }}

)

select
    week_start,
    product_id,
    region,
    max(share) as exposure_share
from exposures
group by week_start, product_id, region
