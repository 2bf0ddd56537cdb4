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

),

known as (

    select
        products.*,
        least(products.launched_on, sales.first_sold_on) as declared_or_sold_on,
        sales.first_sold_on,
        sales.last_sold_on,
        sales.first_priced_on,
        sales.first_seen_on,
        nullif(trim(regexp_replace(lower(products.title), '[^\w]+', ' ', 'g')), '') as plain_title
    from products
    left join sales on products.product_id = sales.product_id

),

launches as (

    select
        known.*,
        if(known.launched_on is null, known.first_seen_on, known.declared_or_sold_on) as first_day,
        case
            when known.launched_on is not null then 'declared'
            when known.first_priced_on is not null
                then if(known.first_seen_on > run.history_from + 7, 'first_price', 'before_history')
            when known.first_sold_on > run.history_from + 56 then 'first_sale'
            else 'before_history'
        end as launch_source
    from known
    cross join run

),

-- A name that a merchant gives to many products names a kind of product, not one.
listings as (

    select
        product_id,
        first_value(product_id) over same_name as first_id,
        first_value(first_day) over same_name as first_listed_on,
        count(*) over (partition by merchant_id, category, brand, plain_title) as listed_times
    from launches
    where
        first_day is not null
        and plain_title is not null
    window same_name as (
        partition by merchant_id, category, brand, plain_title
        order by first_day, product_id
    )

)

select
    launches.product_id,
    launches.merchant_id,
    launches.title,
    launches.category,
    launches.subcategory,
    launches.brand,
    cast(launches.list_price as double) as list_price,
    cast(launches.unit_cost as double) as unit_cost,
    launches.image_count,
    launches.description_length,
    launches.first_day as launched_on,
    launches.launched_on as declared_on,
    launches.launch_source,
    if(
        listings.first_listed_on < launches.first_day and listings.listed_times <= 4,
        listings.first_id,
        null
    ) as relisted_of,
    launches.first_sold_on,
    launches.last_sold_on
from launches
left join listings on launches.product_id = listings.product_id
