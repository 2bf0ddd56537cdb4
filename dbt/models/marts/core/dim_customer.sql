with

customers as (

    select * from {{ ref('stg_customers') }}

),

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

orders as (

    select
        customer_id,
        min(order_date) as first_order_on,
        max(order_date) as last_order_on
    from order_lines
    where
        customer_id is not null
        and status <> 'cancelled'
    group by customer_id

)

select
    coalesce(customers.customer_id, orders.customer_id) as customer_id,
    customers.region,
    customers.segment,
    customers.joined_on,
    orders.first_order_on,
    orders.last_order_on
from customers
full outer join orders on customers.customer_id = orders.customer_id
