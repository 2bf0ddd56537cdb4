with

run_window as (

    select * from {{ source('landed', 'run_window') }}

),

partitions as (

    select * from {{ source('landed', 'pending_partitions') }}

),

history as (

    select min(day) as history_from
    from partitions
    where table_name = 'order_lines'

)

select
    run_window.source,
    run_window.as_of,
    cast(date_trunc('week', run_window.as_of) as date) as as_of_week,
    run_window.rebuild_from,
    cast(date_trunc('week', run_window.rebuild_from) as date) as rebuild_week,
    cast(date_trunc('week', run_window.rebuild_from) as timestamp) + interval 7 day as rebuild_event,
    history.history_from
from run_window
cross join history
