with

series as (

    select * from {{ ref('int_series') }}

),

regions as (

    select * from {{ ref('stg_regions') }}

),

sales as (

    select
        region,
        min(first_sold_on) as first_day,
        max(last_sold_on) as last_day
    from series
    group by region
    having min(first_sold_on) is not null

)

select
    coalesce(sales.region, regions.region) as region,
    regions.name,
    regions.parent,
    sales.first_day,
    sales.last_day
from sales
full outer join regions on sales.region = regions.region
