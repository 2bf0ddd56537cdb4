"""Everything that knows Airflow: its server, its client, and the house rules of the DAGs."""
