with

inventory as (

    select * from {{ ref('stg_inventory') }}

)

select
    week_start,
    product_id,
    region,
    count(*) filter (where on_hand = 0) as days_out_of_stock
from inventory
group by week_start, product_id, region
