with

traffic as (

    select * from {{ ref('stg_traffic') }}

)

select
    week_start,
    product_id,
    region,
    cast(sum(impressions) as bigint) as impressions,
    cast(sum(clicks) as bigint) as clicks,
    cast(sum(carts) as bigint) as carts
from traffic
group by week_start, product_id, region
