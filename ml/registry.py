"""Which trained model serves, which one served before, and what each was made from.

A release is an immutable folder named after its content; MLflow keeps its run, its version and the aliases champion
and challenger. Every plan is made from the champion; when this file is wrong, a plan rests on a model nobody
promoted, or a bad one cannot be taken back.
"""

import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from coldframe.errors import ColdframeError, ConfigurationError, NotAvailableError
from coldframe.paths import Workspace
from coldframe.settings import get_settings
from coldframe.snapshots import code_version
from ml.promotion import PromotionDecision

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

MANIFEST = "manifest.json"
FORMAT = 1
CHAMPION = "champion"
CHALLENGER = "challenger"


@dataclass(frozen=True)
class Release:
    """A trained model as it was released: tables (Parquet), artefacts (bytes) and a manifest with their checksums."""

    id: str
    model: str
    path: Path
    manifest: dict[str, Any]

    @property
    def as_of(self) -> date:
        return date.fromisoformat(self.manifest["as_of"])

    @property
    def snapshot_id(self) -> str:
        return str(self.manifest["snapshot_id"])

    @property
    def params(self) -> dict[str, Any]:
        return dict(self.manifest["params"])

    @property
    def metrics(self) -> dict[str, float]:
        return dict(self.manifest["metrics"])

    def file(self, table: str) -> Path:
        """The Parquet file of one table, for DuckDB. Raises NotAvailableError for a table it lacks."""
        return self._find(f"tables/{table}.parquet")

    def table(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        """One table; dates come as datetime64. Raises NotAvailableError for a table the release lacks."""
        frame: pd.DataFrame = pq.read_table(self.file(name), columns=columns).to_pandas(date_as_object=False)
        return frame

    def artefact(self, name: str) -> bytes:
        """Raises NotAvailableError for an artefact the release lacks."""
        return self._find(f"artefacts/{name}").read_bytes()

    def verify(self) -> None:
        """Compares every file with its checksum. Raises ColdframeError naming what differs."""
        wrong = [
            name
            for name, file in self.manifest["files"].items()
            if not (self.path / name).is_file() or _sha256(self.path / name) != file["sha256"]
        ]
        if wrong:
            raise ColdframeError(
                f"Release {self.id} of {self.model}: {len(wrong)} files are missing or differ from the manifest "
                f"({', '.join(sorted(wrong)[:3])}). Delete {self.path} and train again."
            )

    def _find(self, name: str) -> Path:
        if name not in self.manifest["files"]:
            known = ", ".join(sorted(self.manifest["files"]))
            raise NotAvailableError(f"Release {self.id} of {self.model} has no {name}. It has: {known}.")
        return self.path / name


@dataclass(frozen=True)
class Event:
    """One move of the champion alias: `action` is promote, refresh or rollback; `previous` served before.

    Two actions move nothing: after `lift` the policy decides again, by `backfill` a release answers for its own day,
    which is older than the champion's.
    """

    at: str
    action: str
    release_id: str
    previous: str | None
    by: str
    why: str
    decision_id: str | None = None


class Registry:
    """Releases of one source's models. MLflow's database is opened at the first call that needs it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def release(
        self,
        model: str,
        as_of: date,
        snapshot_id: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tables: Mapping[str, pd.DataFrame | pa.Table],
        artefacts: Mapping[str, bytes],
    ) -> Release:
        """Writes a release, records it in MLflow and gives it the alias challenger.

        The id is derived from the content, so the same content makes the same release once. Raises ColdframeError for
        a metric that is not a finite number.
        """
        bad = sorted(name for name, value in metrics.items() if not math.isfinite(value))
        if bad:
            raise ColdframeError(
                f"{model} as of {as_of}: {', '.join(bad)} is not a finite number; nothing is released."
            )
        release = self._write(model, as_of, snapshot_id, params, metrics, tables, artefacts)
        self._client.set_registered_model_alias(self._name(model), CHALLENGER, self._record(release).version)
        return release

    def load(self, model: str, release_id: str) -> Release:
        """Raises NotAvailableError for a release that is not on disk."""
        path = self.workspace.releases / model / release_id
        if not (path / MANIFEST).is_file():
            raise NotAvailableError(f"{model} of {self.workspace.source} has no release {release_id} in {path.parent}.")
        return Release(release_id, model, path, json.loads((path / MANIFEST).read_text()))

    def releases(self, model: str) -> list[Release]:
        """Every release on disk, oldest as-of first."""
        found = [self.load(model, p.parent.name) for p in (self.workspace.releases / model).glob(f"*/{MANIFEST}")]
        return sorted(found, key=lambda r: (r.as_of, r.id))

    def made_from(self, model: str, as_of: date, snapshot_id: str, params: Mapping[str, Any]) -> list[Release]:
        """Releases that were made from the very same inputs."""
        return [
            release
            for release in self.releases(model)
            if (release.as_of, release.snapshot_id, release.params) == (as_of, snapshot_id, dict(params))
        ]

    def champion(self, model: str) -> Release | None:
        """The release that serves; None before the first promotion."""
        return self._aliased(model, CHAMPION)

    def champion_for(self, model: str, as_of: date) -> Release:
        """The champion, where a plan as of that day may rest on it.

        Raises NotAvailableError where there is none, where it knows of later days, or where it is older than
        COLDFRAME_MAX_FORECAST_AGE_DAYS allows: a plan made from it would not say that trends since are not in it.
        """
        champion, most = self.champion(model), get_settings().max_forecast_age_days
        if champion is None:
            raise NotAvailableError(
                f"No {model} of {self.workspace.source} has been promoted yet. `coldframe decide` makes it first."
            )
        age = (as_of - champion.as_of).days
        told = f"The {model} release that serves is {champion.id}, as of {champion.as_of}; the plan is as of {as_of}"
        if age < 0:
            raise NotAvailableError(f"{told}: it knows {-age} days too many. `coldframe decide` makes another first.")
        if age > most:
            raise NotAvailableError(
                f"{told}: it is {age} days old, and at most {most} are allowed. `coldframe decide` makes another "
                "first, or COLDFRAME_MAX_FORECAST_AGE_DAYS allows more."
            )
        return champion

    def challenger(self, model: str) -> Release | None:
        """The last release that was not promoted; None where there is none."""
        return self._aliased(model, CHALLENGER)

    def promote(self, model: str, release: Release, decision: PromotionDecision) -> None:
        """Makes `release` the champion after reading every byte of it. Doing it again changes nothing.

        Raises ConfigurationError where the decision was to keep the champion, ColdframeError for a damaged release.
        """
        if decision.action == "keep":
            raise ConfigurationError(
                f"Decision {decision.decision_id} keeps the champion of {model}: {'; '.join(decision.reasons)}."
            )
        self._move(model, release, decision.action, "policy", "; ".join(decision.reasons), decision.decision_id)

    def backfill(self, model: str, release: Release, decision: PromotionDecision) -> None:
        """Lets a release of an older day than the champion's answer for that day, and the champion serve on.

        Raises ColdframeError for a damaged release.
        """
        release.verify()
        if self.answering(model).get(release.as_of) != release.id:
            self._note(model, "backfill", release.id, None, "policy", "; ".join(decision.reasons), decision.decision_id)

    def answering(self, model: str) -> dict[date, str]:
        """Release that answers for its own day, by day: the last of it that served and is not rolled back."""
        served: list[str] = []
        rolled_back: set[str | None] = set()
        for event in self.history(model):
            if event.action == "rollback":
                rolled_back.add(event.previous)
            elif event.action == "lift":
                rolled_back.clear()
            else:
                served.append(event.release_id)
            rolled_back.discard(event.release_id)
        champion = self.champion(model)
        # The alias moves before its event is written; a run killed between the two leaves them one apart.
        served += [champion.id] if champion else []
        return {date.fromisoformat(id_[:10]): id_ for id_ in served if id_ not in rolled_back}

    def rollback(self, model: str, by: str, why: str) -> Release:
        """Makes the champion before the present one serve again and returns it; its refreshes are no other champion.

        Raises NotAvailableError where there is none, ConfigurationError where `by` or `why` is empty.
        """
        if not by.strip() or not why.strip():
            raise ConfigurationError(f"Say who rolls {model} back and why (`by`, `why`).")
        now = self.champion(model)
        served = self._served(model)
        # The alias moves before its event is written; a run killed between the two leaves them one apart.
        if now is not None and now.id in served:
            served = served[: len(served) - 1 - served[::-1].index(now.id)]
        if now is None or not served:
            raise NotAvailableError(f"{model} of {self.workspace.source} has no earlier champion to go back to.")
        before = self.load(model, served[-1])
        self._move(model, before, "rollback", by, why, None)
        return before

    def lift(self, model: str, by: str, why: str) -> Release:
        """Ends what a rollback holds: the policy decides again, from the next training on. Returns what serves now.

        Raises NotAvailableError where no rollback holds, ConfigurationError where `by` or `why` is empty.
        """
        if not by.strip() or not why.strip():
            raise ConfigurationError(f"Say who lifts the rollback of {model} and why (`by`, `why`).")
        now = self.champion(model)
        if now is None or self.pin(model) is None:
            raise NotAvailableError(
                f"{model} of {self.workspace.source} has no rollback in force that could be lifted."
            )
        self._note(model, "lift", now.id, now.id, by, why)
        return now

    def history(self, model: str) -> list[Event]:
        """Every promotion, refresh, rollback and lifting, oldest first."""
        registered = self._registered(model)
        tags = registered.tags if registered else {}
        return [Event(**json.loads(tags[key])) for key in sorted(tags) if key.startswith("event.")]

    def veto(self, model: str, release_id: str) -> str | None:
        """Who rolled this release back and why, unless it has been promoted or the rollback lifted since."""
        reason = None
        for event in self.history(model):
            if event.action == "rollback" and event.previous == release_id:
                reason = f"{event.why} ({event.by}, {event.at[:10]})"
            elif event.action == "lift" or event.release_id == release_id:
                reason = None
        return reason

    def pin(self, model: str) -> str | None:
        """Who went back to what serves and why, until something else is promoted (a refresh is not) or it is lifted."""
        reason = None
        for event in self.history(model):
            if event.action == "rollback":
                reason = f"{event.why} ({event.by}, {event.at[:10]})"
            elif event.action in ("promote", "lift"):
                reason = None
        return reason

    @cached_property
    def _client(self) -> "MlflowClient":
        # MLflow reads both while it is imported.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["DO_NOT_TRACK"] = "true"
        from filelock import FileLock
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        settings = get_settings()
        settings.home.mkdir(parents=True, exist_ok=True)
        url = settings.resolved_mlflow_url
        # Forecasting and growth start side by side; MLflow 3.17 creates its tables without a lock.
        with FileLock(settings.home / "mlflow.lock"):
            client = MlflowClient(tracking_uri=url, registry_uri=url)
            client.search_registered_models(max_results=1)
        return client

    def _name(self, model: str) -> str:
        return f"{self.workspace.source}.{model}"

    def _write(
        self,
        model: str,
        as_of: date,
        snapshot_id: str,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tables: Mapping[str, pd.DataFrame | pa.Table],
        artefacts: Mapping[str, bytes],
    ) -> Release:
        self.workspace.scratch.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"release-{model}-", dir=self.workspace.scratch))
        try:
            files: dict[str, Any] = {}
            for name, table in sorted(tables.items()):
                arrow = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
                path = scratch / "tables" / f"{name}.parquet"
                path.parent.mkdir(exist_ok=True)
                pq.write_table(arrow, path, compression="zstd")
                files[f"tables/{name}.parquet"] = {"sha256": _sha256(path), "rows": arrow.num_rows}
            for name, artefact in sorted(artefacts.items()):
                path = scratch / "artefacts" / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(artefact)
                files[f"artefacts/{name}"] = {"sha256": _sha256(path)}
            content = {
                "format": FORMAT,
                "source": self.workspace.source,
                "model": model,
                "as_of": as_of.isoformat(),
                "snapshot_id": snapshot_id,
                "params": dict(params),
                "metrics": dict(metrics),
                "files": files,
            }
            digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
            release_id = f"{as_of.isoformat()}-{digest[:12]}"
            target = self.workspace.releases / model / release_id
            if not (target / MANIFEST).is_file():
                manifest = {"id": release_id, "code_version": code_version()} | content
                (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1))
                target.parent.mkdir(parents=True, exist_ok=True)
                scratch.chmod(0o755)
                scratch.replace(target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return self.load(model, release_id)

    def _record(self, release: Release) -> "ModelVersion":
        """The MLflow version of a release; made, with its run, where MLflow does not know it yet."""
        from mlflow.entities import Metric, Param, RunTag

        name = self._name(release.model)
        if self._registered(release.model) is None:
            self._client.create_registered_model(name)
        known = self._client.search_model_versions(f"name = '{name}' and tags.release_id = '{release.id}'")
        if known:
            return known[0]
        tags = {"release_id": release.id, "release_path": str(release.path), "snapshot_id": release.snapshot_id}
        tags |= {"as_of": release.as_of.isoformat(), "code_version": release.manifest["code_version"]}
        experiment = self._client.get_experiment_by_name(name)
        experiment_id = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(name, artifact_location=self.workspace.releases.as_uri())
        )
        run = self._client.create_run(experiment_id, run_name=release.id)
        at = run.info.start_time
        self._client.log_batch(
            run.info.run_id,
            metrics=[Metric(key, value, at, 0) for key, value in sorted(release.metrics.items())],
            params=[Param(key, str(value)) for key, value in sorted(release.params.items())],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        self._client.set_terminated(run.info.run_id)
        return self._client.create_model_version(name, str(release.path), run_id=run.info.run_id, tags=tags)

    def _registered(self, model: str) -> Any:
        found = self._client.search_registered_models(f"name = '{self._name(model)}'")
        return found[0] if found else None

    def _aliased(self, model: str, alias: str) -> Release | None:
        registered = self._registered(model)
        if registered is None or alias not in registered.aliases:
            return None
        version = self._client.get_model_version(self._name(model), registered.aliases[alias])
        return self.load(model, version.tags["release_id"])

    def _served(self, model: str) -> list[str]:
        """Releases in the order they became champion, without those rolled back or refreshed; the last one serves."""
        stack: list[str] = []
        for event in self.history(model):
            if event.action == "rollback" and event.release_id in stack:
                stack = stack[: len(stack) - stack[::-1].index(event.release_id)]
            elif event.action == "refresh" and stack:
                stack[-1] = event.release_id
            elif event.action in ("promote", "rollback", "refresh"):
                stack.append(event.release_id)
        return stack

    def _move(self, model: str, release: Release, action: str, by: str, why: str, decision_id: str | None) -> None:
        release.verify()
        now = self.champion(model)
        if now is not None and now.id == release.id:
            return
        name = self._name(model)
        version = self._record(release).version
        self._client.set_registered_model_alias(name, CHAMPION, version)
        registered = self._registered(model)
        if registered.aliases.get(CHALLENGER) == version:
            self._client.delete_registered_model_alias(name, CHALLENGER)
        self._note(model, action, release.id, now.id if now else None, by, why, decision_id)

    def _note(
        self,
        model: str,
        action: str,
        release_id: str,
        previous: str | None,
        by: str,
        why: str,
        decision_id: str | None = None,
    ) -> None:
        number = sum(key.startswith("event.") for key in self._registered(model).tags) + 1
        at = datetime.now(UTC).isoformat(timespec="seconds")
        event = Event(at, action, release_id, previous, by, why, decision_id)
        self._client.set_registered_model_tag(self._name(model), f"event.{number:06d}", json.dumps(asdict(event)))


@lru_cache(maxsize=8)
def code_hash(*places: Path) -> str:
    """Hash of the code in these files, and in these folders but not below them: a release made by other code is not
    the same release."""
    digest = hashlib.sha256()
    for place in places:
        for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{file.parent.name}/{file.name}".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def rollback(workspace: Workspace, model: str, by: str, why: str, lift: bool = False) -> Release:
    """The service the command line offers: see Registry.rollback and, with `lift`, Registry.lift."""
    registry = Registry(workspace)
    return registry.lift(model, by, why) if lift else registry.rollback(model, by, why)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
