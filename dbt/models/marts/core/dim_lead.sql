with

funnel as (

    select * from {{ ref('stg_merchant_funnel') }}

),

merchants as (

    select * from {{ ref('dim_merchant') }}

),

leads as (

    select
        lead_id,
        min(happened_on) filter (where stage = 'contacted') as contacted_on,
        min(happened_on) filter (where stage = 'qualified') as qualified_on,
        min(happened_on) filter (where stage = 'won') as won_on,
        min(happened_on) filter (where stage = 'lost') as lost_on,
        max(merchant_id) as merchant_id,
        max(origin) as origin,
        max(segment) as segment
    from funnel
    group by lead_id

)

select
    leads.lead_id,
    leads.contacted_on,
    leads.qualified_on,
    leads.won_on,
    leads.lost_on,
    leads.merchant_id,
    leads.origin,
    leads.segment,
    merchants.first_sold_on
from leads
left join merchants on leads.merchant_id = merchants.merchant_id
