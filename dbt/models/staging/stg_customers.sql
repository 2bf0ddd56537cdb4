with

customers as (

    select * from {{ source('landed', 'customers') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    trim(customers.customer_id) as customer_id,
    nullif(trim(customers.region), '') as region,
    nullif(trim(customers.segment), '') as segment,
    customers.joined_on
from customers
cross join run
where
    customers.joined_on is null
    or customers.joined_on <= run.as_of
