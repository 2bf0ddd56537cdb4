with

products as (

    select * from {{ ref('dim_product') }}

),

product_weeks as (

    select * from {{ ref('fct_product_week') }}

),

run as (

    select * from {{ ref('stg_run') }}

),

launches as (

    select
        products.product_id,
        products.merchant_id,
        products.category,
        products.launched_on,
        products.launch_source,
        cast(date_trunc('week', products.launched_on) as date) as launch_week
    from products
    cross join run
    where
        products.launch_source <> 'before_history'
        and products.launched_on between run.history_from and run.as_of
        and products.relisted_of is null

),

weekly as (

    select
        product_id,
        category,
        week_start,
        sum(units) as units,
        sum(gmv) as gmv
    from product_weeks
    where units > 0
    group by product_id, category, week_start

),

-- Weeks 9 to 26 of age, the week of the launch being the first: the same weeks for all launches of one week.
periods as (

    select distinct
        category,
        launch_week,
        launch_week + 56 as first_week,
        launch_week + 175 as last_week
    from launches

),

sold as (

    select
        periods.category,
        periods.launch_week,
        weekly.product_id,
        sum(weekly.units) as units,
        sum(weekly.gmv) as gmv
    from periods
    inner join weekly
        on
            periods.category = weekly.category
            and weekly.week_start between periods.first_week and periods.last_week
    group by periods.category, periods.launch_week, weekly.product_id

),

-- Money is ranked as decimal: sums of doubles depend on the order of threads, and so would the places.
ranked as (

    select
        sold.*,
        row_number() over (
            partition by sold.category, sold.launch_week
            order by sold.gmv desc, sold.product_id asc
        ) as place
    from sold
    where sold.gmv > 0

),

markets as (

    select
        category,
        launch_week,
        max(place) as products_ranked
    from ranked
    group by category, launch_week

)

select
    launches.product_id,
    launches.merchant_id,
    launches.category,
    launches.launched_on,
    launches.launch_source,
    launches.launch_week,
    periods.first_week,
    periods.last_week,
    run.as_of >= periods.last_week + 6 as is_mature,
    cast(coalesce(ranked.units, 0) as bigint) as units,
    cast(coalesce(ranked.gmv, 0) as decimal(18, 2)) as gmv,
    ranked.place,
    coalesce(markets.products_ranked, 0) as products_ranked,
    if(
        run.as_of >= periods.last_week + 6,
        coalesce(
            ranked.place <= ceil(0.1 * markets.products_ranked) and markets.products_ranked >= 20,
            false
        ),
        null
    ) as is_blockbuster
from launches
inner join periods
    on
        launches.category = periods.category
        and launches.launch_week = periods.launch_week
cross join run
left join markets
    on
        launches.category = markets.category
        and launches.launch_week = markets.launch_week
left join ranked
    on
        launches.category = ranked.category
        and launches.launch_week = ranked.launch_week
        and launches.product_id = ranked.product_id
