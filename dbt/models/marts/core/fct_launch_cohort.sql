with

launches as (

    select * from {{ ref('fct_launch') }}

),

exposure_lines as (

    select * from {{ ref('fct_exposure_line') }}

),

product_weeks as (

    select * from {{ ref('fct_product_week') }}

),

availability as (

    select available as has_plans
    from {{ ref('stg_availability') }}
    where table_name = 'exposure_lines'

),

run as (

    select * from {{ ref('stg_run') }}

),

ages as (

    select unnest([4, 8, 13, 26]) as age_weeks

),

lives as (

    select
        launches.product_id,
        cast(date_trunc('month', launches.launched_on) as date) as launch_month,
        launches.is_blockbuster,
        ages.age_weeks,
        launches.launch_week + 7 * ages.age_weeks as until_day,
        launches.launch_week + 7 * ages.age_weeks <= run.as_of + 1 as is_reached
    from launches
    cross join ages
    cross join run

),

selling as (

    select distinct
        lives.product_id,
        lives.age_weeks
    from lives
    inner join product_weeks
        on
            lives.product_id = product_weeks.product_id
            and product_weeks.week_start between lives.until_day - 28 and lives.until_day - 7
    where product_weeks.units > 0

),

spent as (

    select
        lives.product_id,
        lives.age_weeks,
        sum(exposure_lines.impressions) as impressions,
        bool_or(exposure_lines.stage = 'graduate') as is_graduated,
        arg_max(exposure_lines.stage, exposure_lines.date) = 'retire' as is_retired
    from lives
    inner join exposure_lines
        on
            lives.product_id = exposure_lines.product_id
            and lives.until_day > exposure_lines.date
    group by lives.product_id, lives.age_weeks

),

known as (

    select
        lives.*,
        selling.product_id is not null as is_selling,
        spent.product_id is not null as is_planned,
        coalesce(spent.impressions, 0) as impressions,
        coalesce(spent.is_graduated, false) as is_graduated,
        coalesce(spent.is_retired, false) as is_retired
    from lives
    left join selling
        on
            lives.product_id = selling.product_id
            and lives.age_weeks = selling.age_weeks
    left join spent
        on
            lives.product_id = spent.product_id
            and lives.age_weeks = spent.age_weeks
    where lives.is_reached

),

cohorts as (

    select
        launch_month,
        age_weeks,
        count(*) as launches,
        count(*) filter (where is_selling) as selling,
        sum(impressions) as impressions,
        count(*) filter (where is_graduated) as graduates,
        count(is_blockbuster) as mature,
        count(*) filter (where is_blockbuster) as blockbusters,
        count(is_blockbuster) filter (where is_graduated) as mature_graduates,
        count(*) filter (where is_blockbuster and is_graduated) as hits,
        count(*) filter (
            where is_blockbuster and is_planned and not is_graduated and (is_retired or impressions = 0)
        ) as missed,
        sum(impressions) filter (where is_blockbuster is not null) as mature_impressions
    from known
    group by launch_month, age_weeks

)

select
    cohorts.launch_month,
    cast(cohorts.age_weeks as bigint) as age_weeks,
    cohorts.launches,
    cohorts.selling,
    cohorts.mature,
    cohorts.blockbusters,
    if(availability.has_plans, cast(cohorts.impressions as bigint), null) as impressions,
    if(availability.has_plans, cohorts.graduates, null) as graduates,
    if(availability.has_plans, cohorts.mature_graduates, null) as mature_graduates,
    if(availability.has_plans, cohorts.hits, null) as hits,
    if(availability.has_plans, cohorts.missed, null) as missed,
    if(
        availability.has_plans,
        cast(cohorts.mature_impressions / nullif(cohorts.hits, 0) as double),
        null
    ) as impressions_per_hit
from cohorts
cross join availability
