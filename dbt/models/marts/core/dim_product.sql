with

products as (

    select * from {{ ref('stg_products') }}

),

series as (

    select * from {{ ref('int_series') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

sales as (

    select
        product_id,
        min(first_sold_on) as first_sold_on,
        max(last_sold_on) as last_sold_on,
        min(first_priced_on) as first_priced_on,
        least(min(first_sold_on), min(first_priced_on)) as first_seen_on
    from series
    group by product_id

)

select
    products.product_id,
    products.merchant_id,
    products.title,
    products.category,
    products.subcategory,
    products.brand,
    cast(products.list_price as double) as list_price,
    cast(products.unit_cost as double) as unit_cost,
    products.image_count,
    products.description_length,
    coalesce(products.launched_on, sales.first_seen_on) as launched_on,
    case
        when products.launched_on is not null then 'declared'
        when sales.first_priced_on is not null
            then if(sales.first_seen_on > run.history_from + 7, 'first_price', 'before_history')
        when sales.first_sold_on > run.history_from + 56 then 'first_sale'
        else 'before_history'
    end as launch_source,
    sales.first_sold_on,
    sales.last_sold_on
from products
left join sales on products.product_id = sales.product_id
cross join run
