"""What a plan is made from: scores of the serving release, stages of the last plan, and surfaces of the snapshot."""

from datetime import date, timedelta

from coldframe.ledger import Ledger
from coldframe.snapshots import Snapshot
from ml.incubation.exposure import Surfaces
from ml.incubation.ladder import STAGES
from ml.incubation.surfaces import shared

KIND = "incubation"
RECENT = timedelta(weeks=8)
"""How far back it counts how well a surface sells."""


def previous_stages(ledger: Ledger, source: str, as_of: date) -> dict[str, str]:
    """Stage of each product in the newest plan made for an earlier day, whatever became of that plan but rejection."""
    earlier = [p for p in ledger.plans(source=source, kind=KIND) if p.as_of < as_of and p.status != "rejected"]
    if not earlier:
        return {}
    newest = max(earlier, key=lambda p: (p.as_of, p.created_at))
    return {line.product_id: line.action for line in ledger.lines(newest.plan_id) if line.action in STAGES}


def surfaces(snapshot: Snapshot, categories: list[str]) -> Surfaces | None:
    """Channels and regions of the last weeks' traffic; None where nobody counts impressions."""
    if "fct_surface_week" not in snapshot.tables:
        return None
    since = snapshot.as_of - RECENT
    seen = snapshot.query(
        f"""
        select category, channel, region, sum(impressions)::double as impressions, sum(orders)::double as orders
        from fct_surface_week where week_start > date '{since:%Y-%m-%d}'
        group by all having sum(impressions) > 0 order by all
        """
    )
    return shared(seen, categories) if len(seen) else None
