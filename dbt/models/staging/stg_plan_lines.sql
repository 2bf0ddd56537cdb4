with

plan_lines as (

    select * from {{ source('landed', 'plan_lines') }}

)

select
    plan_id,
    as_of,
    season,
    valid_from,
    valid_until,
    trim(region) as region,
    trim(category) as category,
    trim(product_id) as product_id,
    action,
    rank,
    quantity,
    expected_units,
    objective,
    value,
    value_low,
    value_high
from plan_lines
