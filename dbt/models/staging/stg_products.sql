with

products as (

    select * from {{ source('landed', 'products') }}

)

select
    trim(product_id) as product_id,
    trim(merchant_id) as merchant_id,
    trim(title) as title,
    trim(category) as category,
    trim(subcategory) as subcategory,
    trim(brand) as brand,
    list_price,
    unit_cost,
    image_count,
    description_length,
    launched_on
from products
