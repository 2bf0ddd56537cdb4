{#-
    Records that every model of the project was built and every test passed, so that nobody publishes the marts of a
    build that was killed, failed or was run in part.
-#}
{% macro mark_finished(results) %}
    {%- if execute and flags.WHICH == 'build' -%}
        {%- set good = results | selectattr('status', 'in', ['success', 'pass', 'warn']) | list -%}
        {%- set models = graph.nodes.values() | selectattr('resource_type', 'equalto', 'model') | list -%}
        {%- set built = good | selectattr('node.resource_type', 'equalto', 'model') | list -%}
        {%- if good | length == results | length and built | length == models | length -%}
            update landed.run_window set finished = true
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
