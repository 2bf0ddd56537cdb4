"""The gate: may anyone use these facts? It puts frames before Great Expectations and decides by severity.

A critical failure stops the run, so the last good snapshot goes on serving; a warning is shown and passes. When this
file is wrong, either a broken feed is published and next season is planned on it, or a healthy shop is refused.
Great Expectations calls a suite unsuccessful even when only a warning failed, so its verdict is never used.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from coldframe.errors import GateError
from coldframe.paths import Workspace

if TYPE_CHECKING:
    from great_expectations.core import ExpectationValidationResult

Severity = Literal["critical", "warning", "info"]
# Every judged frame says in this column what each of its rows is about, so that a failure can name it.
SUBJECT = "subject"
RESULTS = "results.json"
DOCS = "docs"
SHOWN = 3
# Great Expectations' argument names in words.
LIMITS = {"min_value": "at least", "max_value": "at most", "value_set": "one of"}


@dataclass(frozen=True)
class Expectation:
    """One of Great Expectations' expectations as data, how grave its failure is, and what to do then."""

    type: str
    kwargs: dict[str, Any]
    severity: Severity
    advice: str


@dataclass(frozen=True)
class Frame:
    """Rows to be judged (with a `subject` column) and what is expected of them."""

    name: str
    rows: pd.DataFrame
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True)
class Failure:
    """An expectation that did not hold: `rows` of the frame broke it, `subjects` and `observed` show the first."""

    severity: Severity
    expectation: str
    table: str
    column: str
    observed: str
    rows: int
    subjects: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        more = f" and {self.rows - len(self.subjects)} more" if self.rows > len(self.subjects) else ""
        about = f" ({', '.join(self.subjects)}{more})" if self.subjects else ""
        return f"{self.table}.{self.column} is {self.observed}{about}, expected {self.expectation}. {self.advice}"


@dataclass(frozen=True)
class Verdict:
    """What a gate found in one run; `folder` holds results.json and the Data Docs."""

    gate: str
    run: str
    judged: int
    failures: tuple[Failure, ...]
    folder: Path
    reused: bool = False

    def of(self, severity: Severity) -> tuple[Failure, ...]:
        return tuple(f for f in self.failures if f.severity == severity)

    @property
    def docs(self) -> Path:
        return self.folder / DOCS / "index.html"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Everything that passes but must be shown."""
        return tuple(str(f) for f in self.failures if f.severity != "critical")

    @property
    def summary(self) -> str:
        critical, warnings = len(self.of("critical")), len(self.failures) - len(self.of("critical"))
        return f"{self.judged} expectations: {critical} critical failures, {warnings} warnings"

    def refuse_if_critical(self) -> None:
        """Raises GateError naming every critical failure."""
        critical = self.of("critical")
        if critical:
            raise GateError(
                f"The {self.gate} gate refuses {self.run}: {len(critical)} of {self.judged} expectations failed "
                "critically. The last good snapshot stays in place.\n"
                + "\n".join(f"  - {f}" for f in critical)
                + f"\nData Docs: {self.docs}"
            )


def judge(
    workspace: Workspace, gate: str, as_of: date, frames: Sequence[Frame], keep: int, force: bool = False
) -> Verdict:
    """Judges the frames and keeps results and Data Docs under ``audits/<run>/<gate>/``.

    <run> is the as-of day and a hash of everything that was judged, so the same facts are judged once and found
    again. Of each gate the `keep` audits last written stay.
    """
    run = f"{as_of.isoformat()}-{_digest(frames)}"
    folder = workspace.audits / run / gate
    if force or not (folder / RESULTS).is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        judged, failures = _judge(gate, as_of, frames, folder / DOCS)
        content: dict[str, Any] = {"gate": gate, "run": run, "judged": judged}
        content |= {"failures": [asdict(f) for f in failures]}
        # Written last: a folder without it is one whose audit was killed, and is judged anew.
        (folder / RESULTS).write_text(json.dumps(content, indent=1))
        _prune(workspace, gate, keep)
        return _read(folder)
    return _read(folder, reused=True)


def _read(folder: Path, reused: bool = False) -> Verdict:
    content = json.loads((folder / RESULTS).read_text())
    failures = tuple(Failure(**f | {"subjects": tuple(f["subjects"])}) for f in content.pop("failures"))
    return Verdict(**content, failures=failures, folder=folder, reused=reused)


def _prune(workspace: Workspace, gate: str, keep: int) -> None:
    audits = sorted(workspace.audits.glob(f"*/{gate}/{RESULTS}"), key=lambda p: p.stat().st_mtime_ns)
    for results in audits[:-keep]:
        shutil.rmtree(results.parent)
        if not any(results.parent.parent.iterdir()):
            results.parent.parent.rmdir()


def _digest(frames: Iterable[Frame]) -> str:
    digest = hashlib.sha256(version("great-expectations").encode())
    for frame in frames:
        expected = [asdict(e) for e in frame.expectations]
        digest.update(json.dumps([frame.name, list(frame.rows.columns), expected], default=str).encode())
        digest.update(pd.util.hash_pandas_object(frame.rows.astype(str), index=False).to_numpy().tobytes())
    return digest.hexdigest()[:12]


def _judge(gate: str, as_of: date, frames: Sequence[Frame], docs: Path) -> tuple[int, tuple[Failure, ...]]:
    # Read at import: nothing is reported to anybody.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration
    from great_expectations.expectations.metadata_types import FailureSeverity

    # They announce every page and folder they make; the second sets its own level while it is imported.
    for name in ("great_expectations", "great_expectations.data_context.types.base"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for site in context.get_site_names():
        context.delete_data_docs_site(site)
    context.add_data_docs_site(
        site_name=gate,
        site_config={
            "class_name": "SiteBuilder",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs)},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    source = context.data_sources.add_pandas(gate)
    # The clock has no part in an audit: the same facts give the same verdict, under the same names.
    run_id = RunIdentifier(run_name=as_of.isoformat(), run_time=datetime.combine(as_of, time(), UTC))
    failures: list[Failure] = []
    judged = 0
    for frame in frames:
        # To the constructor, because `add_expectation_configuration` keeps one expectation of a type and column.
        expected = [
            ExpectationConfiguration(
                type=e.type,
                kwargs=dict(e.kwargs),
                severity=FailureSeverity(e.severity),
                notes=e.advice,
                meta={"advice": e.advice},
            ).to_domain_obj()
            for e in frame.expectations
        ]
        suite = context.suites.add(gx.ExpectationSuite(name=frame.name, expectations=expected))
        batch = source.add_dataframe_asset(frame.name).add_batch_definition_whole_dataframe(frame.name)
        validation = context.validation_definitions.add(
            gx.ValidationDefinition(name=frame.name, data=batch, suite=suite)
        )
        result = validation.run(
            batch_parameters={"dataframe": frame.rows},
            result_format={
                "result_format": "SUMMARY",
                "partial_unexpected_count": SHOWN,
                "unexpected_index_column_names": [SUBJECT],
                "return_unexpected_index_query": False,
            },
            run_id=run_id,
        )
        judged += len(result.results)
        failures += [_failure(frame, r) for r in result.results if not r.success]
    context.build_data_docs()
    return judged, tuple(sorted(failures, key=lambda f: ("critical", "warning", "info").index(f.severity)))


def _failure(frame: Frame, result: "ExpectationValidationResult") -> Failure:
    config = result.expectation_config
    assert config is not None
    kwargs = {k: v for k, v in config.kwargs.items() if k not in ("batch_id", "column")}
    found = result.result
    listed = found.get("partial_unexpected_index_list") or []
    values = found.get("partial_unexpected_list") or []
    if "observed_value" in found:
        observed = str(found["observed_value"])
    elif values:
        shown = ("missing" if pd.isna(v) else f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)
        observed = ", ".join(dict.fromkeys(shown))
    elif found.get("unexpected_count"):
        observed = "missing"
    else:
        raised = [i.get("exception_message") for i in result.exception_info.values() if isinstance(i, dict)]
        observed = f"not judgeable, {'; '.join(str(m) for m in raised if m) or 'no reason given'}"
    limits = " and ".join(
        f"{LIMITS.get(k, k)} {v:g}" if isinstance(v, float) else f"{LIMITS.get(k, k)} {v}"
        for k, v in kwargs.items()
        if v is not None
    )
    return Failure(
        severity=config.severity.value,
        expectation=limits or config.type.removeprefix("expect_column_values_to_").replace("_", " "),
        table=frame.name,
        column=str(config.kwargs.get("column", "*")),
        observed=observed,
        rows=int(found.get("unexpected_count") or 0),
        subjects=tuple(str(entry[SUBJECT]) for entry in listed[:SHOWN]),
        advice=str(config.meta["advice"]) if config.meta else "",
    )
