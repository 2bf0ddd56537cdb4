{{ config(materialized='incremental') }}

with

order_lines as (

    select * from {{ ref('fct_order_lines') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    order_date as date,
    product_id,
    region,
    cast(sum(quantity) as bigint) as units,
    cast(sum(gmv) as decimal(18, 2)) as gmv,
    cast(sum(net_amount) as decimal(18, 2)) as net_amount,
    count(distinct order_id) as orders,
    count(distinct customer_id) as buyers,
    max(known_at) as known_at
from order_lines
where
    status <> 'cancelled'
    and order_date >= (select run.rebuild_from from run)
group by order_date, product_id, region
