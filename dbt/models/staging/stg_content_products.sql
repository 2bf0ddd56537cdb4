with

content_products as (

    select * from {{ source('landed', 'content_products') }}

),

run as (

    select * from {{ ref('stg_run') }}

)

select
    trim(content_products.content_id) as content_id,
    trim(content_products.product_id) as product_id,
    cast(content_products.shown_at as date) as date,
    content_products.known_at
from content_products
cross join run
where cast(content_products.shown_at as date) <= run.as_of
