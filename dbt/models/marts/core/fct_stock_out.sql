{{ config(materialized='incremental') }}

with

inventory as (

    select * from {{ ref('stg_inventory') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    inventory.date,
    inventory.product_id,
    inventory.region,
    inventory.known_at
from inventory
cross join run
where
    inventory.on_hand = 0
    and inventory.date >= run.rebuild_from
