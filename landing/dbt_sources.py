"""Writes the dbt sources from the landing contract: ``python -m landing.dbt_sources > dbt/models/sources.yml``.

The contract is written once, in landing.contract; a test holds the committed file equal to what this prints. When
they drift apart, dbt reads columns that nobody lands, or describes them wrongly to those who read its docs.
"""

import sys
from typing import Any

import yaml

from landing.contract import OWN, TABLES

_HEADER = "# Made by `python -m landing.dbt_sources > dbt/models/sources.yml`; change landing/contract.py instead.\n"
_KNOWN_AT = {
    "name": "known_at",
    "data_type": "TIMESTAMP",
    "description": "When this version of the row became known: midnight after the day it was delivered for.",
}
_RUN_TABLES: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "run_window": (
        "What the present run is to build; one row.",
        {
            "source": ("VARCHAR", "Source the warehouse belongs to."),
            "as_of": ("DATE", "Last day the run may know of."),
            "rebuild_from": ("DATE", "First day whose facts may differ from what the marts hold."),
            "finished": ("BOOLEAN", "True once every model was built and every test passed."),
        },
    ),
    "availability": (
        "Whether the source delivers a table at all, one row a contract table.",
        {
            "table_name": ("VARCHAR", "Table of the contract."),
            "available": ("BOOLEAN", "True when at least one version of it has landed."),
        },
    ),
    "pending_partitions": (
        "Version of each landed day the run reads, one row a table and day.",
        {
            "table_name": ("VARCHAR", "Table of the contract."),
            "day": ("DATE", "Day of the events; empty for a table that is delivered whole."),
            "known": ("DATE", "Day at whose end this version became known."),
            "stamp": ("VARCHAR", "Changes whenever the version's file is replaced."),
        },
    ),
}


def sources() -> dict[str, Any]:
    """The document: one source table per contract table, then the tables that describe the run."""
    tables: list[dict[str, Any]] = [
        {
            "name": table.name,
            "description": table.description,
            "columns": [
                {"name": c.name, "data_type": c.type.value, "description": c.description} for c in table.columns
            ]
            + [_KNOWN_AT],
        }
        for table in (*TABLES, *OWN)
    ]
    tables += [
        {
            "name": name,
            "description": description,
            "columns": [{"name": c, "data_type": t, "description": d} for c, (t, d) in columns.items()],
        }
        for name, (description, columns) in _RUN_TABLES.items()
    ]
    return {
        "version": 2,
        "sources": [
            {
                "name": "landed",
                "schema": "landed",
                "description": "Views over the landed Parquet files a run may see, made by coldframe.transform.",
                "tables": tables,
            }
        ],
    }


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def render() -> str:
    """The text of dbt/models/sources.yml."""
    return _HEADER + yaml.dump(sources(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


if __name__ == "__main__":
    sys.stdout.write(render())
