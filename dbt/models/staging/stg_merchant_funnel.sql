with

merchant_funnel as (

    select * from {{ source('landed', 'merchant_funnel') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    trim(merchant_funnel.lead_id) as lead_id,
    merchant_funnel.stage,
    cast(merchant_funnel.happened_at as date) as happened_on,
    nullif(trim(merchant_funnel.merchant_id), '') as merchant_id,
    nullif(trim(merchant_funnel.origin), '') as origin,
    nullif(trim(merchant_funnel.segment), '') as segment
from merchant_funnel
cross join run
where cast(merchant_funnel.happened_at as date) <= run.as_of
