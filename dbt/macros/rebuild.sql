{#-
    Incremental strategy `rebuild`: forget every row from the run's window on, then insert what the model computed for
    that window. The table afterwards depends only on what is landed and on the as-of, however the last run ended.
    A model says in meta.rebuild which of its columns meets which column of stg_run.
-#}
{% macro get_incremental_rebuild_sql(arg_dict) %}
    {%- set rule = config.get('meta')['rebuild'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    delete from {{ arg_dict['target_relation'] }}
    where {{ rule['column'] }} >= (select {{ rule['since'] }} from {{ ref('stg_run') }});

    insert into {{ arg_dict['target_relation'] }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
{% endmacro %}
