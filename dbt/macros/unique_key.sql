{#-
    The columns together name one row. Rows before the run's window were tested when they were built, so only keys
    that occur in the window are looked at again.
-#}
{% test unique_key(model, columns, rebuild=none) %}
    select {{ columns | join(', ') }}
    from {{ model }}
    {% if rebuild %}
    where ({{ columns | join(', ') }}) in (
        select ({{ columns | join(', ') }})
        from {{ model }}
        where {{ rebuild['column'] }} >= (select {{ rebuild['since'] }} from {{ ref('stg_run') }})
    )
    {% endif %}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}
