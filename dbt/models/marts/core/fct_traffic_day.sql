{{ config(materialized='incremental') }}

with

traffic as (

    select * from {{ ref('stg_traffic') }}

),

partitions as (

    select
        date,
        max(known_at) as known_at
    from {{ ref('stg_partitions') }}
    where table_name = 'traffic'
    group by date

),

run as (

    select * from {{ ref('stg_run') }}

),

totals as (

    select
        date,
        product_id,
        sum(impressions) as impressions,
        sum(clicks) as clicks,
        sum(carts) as carts,
        sum(impressions) filter (where content_id is not null) as content_impressions
    from traffic
    where date >= (select run.rebuild_from from run)
    group by date, product_id

)

select
    totals.date,
    totals.product_id,
    cast(totals.impressions as bigint) as impressions,
    cast(totals.clicks as bigint) as clicks,
    cast(totals.carts as bigint) as carts,
    cast(coalesce(totals.content_impressions, 0) as bigint) as content_impressions,
    partitions.known_at
from totals
inner join partitions on totals.date = partitions.date
