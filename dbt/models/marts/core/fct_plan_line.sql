with

plan_lines as (

    select * from {{ ref('stg_plan_lines') }}

),

sales as (

    select * from {{ ref('fct_product_day') }}

),

stock_outs as (

    select * from {{ ref('fct_stock_out') }}

),

products as (

    select * from {{ ref('dim_product') }}

),

stock as (

    select available as is_known
    from {{ ref('stg_availability') }}
    where table_name = 'inventory'

),

run as (

    select * from {{ ref('stg_run') }}

),

heads as (

    select distinct
        plan_id,
        as_of,
        season,
        valid_until,
        -- A plan for a season that has begun is for the rest of it.
        greatest(valid_from, as_of + 1) as first_day
    from plan_lines

),

plans as (

    select
        heads.*,
        lead(heads.as_of) over (partition by heads.season order by heads.as_of) as superseded_on,
        heads.valid_until - heads.first_day + 1 as days,
        greatest(least(heads.valid_until, run.as_of) - heads.first_day + 1, 0) as days_elapsed,
        coalesce(stock.is_known, false) as stock_is_known
    from heads
    cross join run
    left join stock on true

),

sold as (

    select
        plans.plan_id,
        sales.region,
        sales.product_id,
        sum(sales.units) as units,
        sum(sales.gmv) as gmv
    from plans
    inner join sales on sales.date between plans.first_day and plans.valid_until
    group by plans.plan_id, sales.region, sales.product_id

),

out_of_stock as (

    select
        plans.plan_id,
        stock_outs.region,
        stock_outs.product_id,
        count(*) as days
    from plans
    inner join stock_outs on stock_outs.date between plans.first_day and plans.valid_until
    group by plans.plan_id, stock_outs.region, stock_outs.product_id

),

lines as (

    select
        plan_lines.*,
        plans.superseded_on,
        plans.days,
        plans.days_elapsed,
        coalesce(sold.units, 0) as units,
        coalesce(sold.gmv, 0) as gmv,
        if(plans.stock_is_known, coalesce(out_of_stock.days, 0), null) as days_out_of_stock,
        -- Sold on the other days at the pace it kept while it was there; never there, nobody can say.
        if(plans.stock_is_known, coalesce(out_of_stock.days, 0), null)
        / nullif(plans.days_elapsed - coalesce(out_of_stock.days, 0), 0) as lost_for_each_sold,
        plan_lines.action = 'range' as is_ranged,
        -- The worst chosen gives its place to the best left out, and so on: what a perfect choice gains.
        row_number() over (
            partition by plan_lines.plan_id, plan_lines.region, plan_lines.category, is_ranged
            order by coalesce(sold.gmv, 0) asc, plan_lines.product_id desc
        ) as place
    from plan_lines
    inner join plans on plan_lines.plan_id = plans.plan_id
    left join sold
        on
            plan_lines.plan_id = sold.plan_id
            and plan_lines.region = sold.region
            and plan_lines.product_id = sold.product_id
    left join out_of_stock
        on
            plan_lines.plan_id = out_of_stock.plan_id
            and plan_lines.region = out_of_stock.region
            and plan_lines.product_id = out_of_stock.product_id

),

left_out as (

    select
        sold.plan_id,
        sold.region,
        products.category,
        sold.product_id,
        sold.gmv,
        row_number() over (
            partition by sold.plan_id, sold.region, products.category
            order by sold.gmv desc, sold.product_id asc
        ) as place
    from sold
    inner join products on sold.product_id = products.product_id
    left join plan_lines
        on
            sold.plan_id = plan_lines.plan_id
            and sold.region = plan_lines.region
            and sold.product_id = plan_lines.product_id
    where plan_lines.action is distinct from 'range'

)

select
    lines.plan_id,
    lines.as_of,
    lines.season,
    lines.valid_from,
    lines.valid_until,
    lines.superseded_on,
    lines.region,
    lines.category,
    lines.product_id,
    lines.action,
    lines.rank,
    lines.objective,
    lines.quantity,
    lines.expected_units,
    lines.value,
    lines.value_low,
    lines.value_high,
    lines.days,
    lines.days_elapsed,
    cast(lines.units as bigint) as units,
    cast(lines.gmv as decimal(18, 2)) as gmv,
    lines.days_out_of_stock,
    cast(lines.units * lines.lost_for_each_sold as double) as lost_units,
    cast(lines.gmv * lines.lost_for_each_sold as double) as lost_gmv,
    if(
        lines.is_ranged and lines.days_elapsed = lines.days,
        lines.units + coalesce(lines.units * lines.lost_for_each_sold, 0) - lines.expected_units,
        null
    ) as forecast_error_units,
    if(
        lines.is_ranged and lines.days_elapsed = lines.days and lines.objective = 'gmv',
        cast(lines.gmv as double) + coalesce(lines.gmv * lines.lost_for_each_sold, 0) - lines.value,
        null
    ) as forecast_error_gmv,
    if(left_out.gmv > lines.gmv, left_out.product_id, null) as better_product_id,
    cast(greatest(coalesce(left_out.gmv, 0) - lines.gmv, 0) as decimal(18, 2)) as choice_error_gmv
from lines
left join left_out
    on
        lines.is_ranged
        and lines.plan_id = left_out.plan_id
        and lines.region = left_out.region
        and lines.category = left_out.category
        and lines.place = left_out.place
