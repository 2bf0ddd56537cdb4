with

campaigns as (

    select * from {{ ref('stg_campaigns') }}

)

select
    campaign_id,
    kind,
    starts_on,
    ends_on,
    announced_on
from campaigns
