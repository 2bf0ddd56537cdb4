"""Hands a decided plan over: to the ledger, where somebody approves it, and to a folder, from where it is mailed.

Both hold the same lines under the same id; when they differ, somebody orders what nobody approved.
"""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from coldframe.ledger import Ledger, Plan, PlanDraft
from coldframe.paths import Workspace


def save(place: Workspace, draft: PlanDraft) -> tuple[Plan, Path]:
    """Saves the plan as a draft and exports its lines as CSV and Parquet; returns it and the folder of the export.

    The same decision saved again is the same plan. Raises ConfigurationError for lines the ledger refuses.
    """
    plan = Ledger.open().save_plan(draft)
    folder = place.plans / plan.plan_id
    if not folder.is_dir():
        place.scratch.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="plan-", dir=place.scratch))
        lines = pd.DataFrame([asdict(line) for line in draft.lines])
        details = pd.json_normalize(lines.pop("details").tolist()) if len(lines) else pd.DataFrame()
        table = pd.concat([lines, details], axis=1)
        table.to_csv(scratch / "plan.csv", index=False)
        table.to_parquet(scratch / "plan.parquet", index=False)
        scratch.chmod(0o755)
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(scratch, folder)
    return plan, folder
