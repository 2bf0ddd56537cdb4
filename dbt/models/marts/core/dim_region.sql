with

first_sales as (

    select * from {{ ref('int_first_sales') }}

)

select
    region,
    min(first_sold_on) as first_day,
    max(last_sold_on) as last_day
from first_sales
group by region
