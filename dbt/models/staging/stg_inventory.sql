with

inventory as (

    select * from {{ source('landed', 'inventory') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    inventory.date,
    cast(date_trunc('week', inventory.date) as date) as week_start,
    trim(inventory.product_id) as product_id,
    trim(inventory.region) as region,
    inventory.on_hand,
    inventory.known_at
from inventory
cross join run
where inventory.date between run.rebuild_week and run.as_of
