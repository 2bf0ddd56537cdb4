with

run as (

    select * from {{ ref('stg_run') }}

),

partitions as (

    select * from {{ ref('stg_partitions') }}

),

spine as (

    select
        cast(
            unnest(generate_series(date_trunc('week', history_from), as_of_week, interval 7 day)) as date
        ) as week_start,
        as_of
    from run

),

known as (

    select
        week_start,
        max(known_at) as known_at
    from partitions
    where table_name in ('order_lines', 'exposures', 'traffic', 'inventory', 'refunds')
    group by week_start

),

weeks as (

    select
        spine.week_start,
        cast(least(7, spine.as_of - spine.week_start + 1) as bigint) as days_elapsed,
        greatest(
            known.known_at,
            cast(least(spine.week_start + 7, spine.as_of + 1) as timestamp)
        ) as known_at
    from spine
    left join known on spine.week_start = known.week_start

)

select
    week_start,
    cast(week_start as timestamp) + interval 7 day as event_timestamp,
    days_elapsed,
    known_at,
    max(known_at) over (order by week_start rows between 12 preceding and current row) as known_at_13w
from weeks
