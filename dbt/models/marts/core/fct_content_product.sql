with

content_products as (

    select * from {{ ref('stg_content_products') }}

),

contents as (

    select * from {{ ref('stg_contents') }}

)

-- Built anew each time: who made a video may become known later than what it carries.
select
    content_products.content_id,
    content_products.product_id,
    content_products.date,
    contents.creator_id,
    greatest(content_products.known_at, contents.known_at) as known_at
from content_products
left join contents on content_products.content_id = contents.content_id
