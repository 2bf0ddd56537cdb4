"""Step ``land``: brings a source's rows up to the as-of into the landed tables, or refuses the whole delivery.

All tables are checked before the first is replaced, so a delivery that breaks the contract as a whole leaves everything
as it was. What was counted is kept in the ledger; when it is not, nobody can say what a plan was not told.
"""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from coldframe import landed
from coldframe.errors import BadInputError, ColdframeError
from coldframe.ledger import Ledger
from coldframe.paths import Workspace, workspace
from coldframe.run import Request, StepResult
from coldframe.settings import Settings, get_settings
from landing import store
from landing.contract import BY_NAME, TABLES, VERSION, Kind, Table
from landing.sources import Offer, open_source
from landing.validate import Checked, Limits, check, excess

log = logging.getLogger(__name__)

_SMALL = 1 << 20
_RECORD = "_landing.json"


def land(request: Request) -> StepResult:
    """Lands days up to `request.as_of` (from `request.start`, if given) of every table the source offers.

    Raises BadInputError if the delivery breaks the contract as a whole; then nothing landed changes. The quarantine
    of a table with too many bad rows is written even then, so that one can see them.
    """
    settings = get_settings()
    place = workspace(request.source, settings)
    source = open_source(request.source, request.path or settings.source_path)
    offer = source.probe()
    missing = [t.name for t in TABLES if t.required and t.name not in offer.tables]
    if missing:
        raise BadInputError(f"{request.source} lacks {', '.join(missing)}, which the contract requires. Nothing was landed.")
    record = _read_record(place)
    ...
