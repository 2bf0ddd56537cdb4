"""The first ledger: runs of steps, landings, plans with lines and events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "step_runs",
        sa.Column("run_id", sa.Integer, primary_key=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("step", sa.String(64), nullable=False),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("result", sa.JSON),
        sa.Column("error", sa.Text),
    )
    op.create_index("ix_step_runs_source_step", "step_runs", ["source", "step"])
    op.create_table(
        "landings",
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("as_of", sa.Date, primary_key=True),
        sa.Column("table_name", sa.String(64), primary_key=True),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("rows_accepted", sa.BigInteger, nullable=False),
        sa.Column("rows_quarantined", sa.BigInteger, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
    )
    op.create_table(
        "plans",
        sa.Column("plan_id", sa.String(12), primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("as_of", sa.Date, nullable=False),
        sa.Column("season", sa.String(64), nullable=False),
        sa.Column("valid_from", sa.Date, nullable=False),
        sa.Column("valid_until", sa.Date, nullable=False),
        sa.Column("snapshot_id", sa.String(64), nullable=False),
        sa.Column("release_ids", sa.JSON, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("line_count", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_plans_source_kind_season", "plans", ["source", "kind", "season"])
    op.create_table(
        "plan_lines",
        sa.Column("plan_id", sa.String(12), sa.ForeignKey("plans.plan_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("region", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("product_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("quantity", sa.Double, nullable=False),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("value_low", sa.Double, nullable=False),
        sa.Column("value_high", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("alternative", sa.Text),
        sa.Column("binding_constraint", sa.Text),
        sa.Column("details", sa.JSON, nullable=False),
    )
    op.create_table(
        "plan_events",
        sa.Column("event_id", sa.Integer, primary_key=True),
        sa.Column("plan_id", sa.String(12), sa.ForeignKey("plans.plan_id", ondelete="CASCADE"), nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_whom", sa.Text, nullable=False),
        sa.Column("from_status", sa.String(16)),
        sa.Column("to_status", sa.String(16), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_index("ix_plan_events_plan_id", "plan_events", ["plan_id"])
