with

campaigns as (

    select * from {{ source('landed', 'campaigns') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    trim(campaigns.campaign_id) as campaign_id,
    trim(campaigns.kind) as kind,
    campaigns.starts_on,
    campaigns.ends_on,
    coalesce(campaigns.announced_on, campaigns.starts_on) as announced_on
from campaigns
cross join run
where coalesce(campaigns.announced_on, campaigns.starts_on) <= run.as_of
