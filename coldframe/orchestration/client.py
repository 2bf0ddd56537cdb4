"""The little of Airflow's public API that Coldframe needs: log in, trigger, look, read a log.

`coldframe demo` and `coldframe up` see Airflow through this file alone; when it is wrong they wait for something that
has long failed.
"""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

import httpx

from coldframe.errors import ConfigurationError, NotAvailableError


class AirflowClient:
    """One login. Answers are the API's JSON. Raises NotAvailableError when the server does not answer."""

    def __init__(self, url: str, username: str = "admin", password: str = "") -> None:
        self._login = {"username": username, "password": password}
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)
        self._token_until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def health(self) -> Mapping[str, str]:
        """State of each component by name; empty while nobody answers."""
        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
            components: dict[str, Mapping[str, Any]] = answer.json() if answer.is_success else {}
        except (httpx.TransportError, ValueError):
            return {}
        return {name: str(state.get("status")) for name, state in components.items()}

    def dag_ids(self) -> set[str]:
        return {dag["dag_id"] for dag in self._get("/api/v2/dags", limit=100)["dags"]}

    def import_errors(self) -> dict[str, str]:
        """Stack trace by file of each DAG file that could not be read."""
        return {e["filename"]: e["stack_trace"] for e in self._get("/api/v2/importErrors")["import_errors"]}

    def set_pool(self, name: str, slots: int, description: str) -> None:
        """Creates the pool or gives it these slots."""
        body = {"pool": name, "slots": slots, "description": description, "include_deferred": False}
        if self._call("GET", f"/api/v2/pools/{name}", missing_ok=True) is None:
            body["name"] = body.pop("pool")
            self._call("POST", "/api/v2/pools", json=body)
        else:
            self._call("PATCH", f"/api/v2/pools/{name}", json=body)

    def unpause(self, dag_id: str) -> None:
        self._call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Starts a run and returns its id."""
        body = {"logical_date": None, "conf": dict(conf)}
        return str(self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")
        return found

    def runs_since(self, since: datetime) -> list[dict[str, Any]]:
        """Runs of all DAGs that were queued at or after `since`, oldest first."""
        found = self._get("/api/v2/dags/~/dagRuns", run_after_gte=since.isoformat(), order_by="run_after", limit=100)
        return list(found["dag_runs"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        found = self._get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)
        return list(found["task_instances"])

    def returned(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned, None if nothing."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        found = self._call("GET", path, missing_ok=True, params={"deserialize": False, "stringify": False})
        return found and found["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[str]:
        """Lines of a task's log."""
        lines = []
        for line in self._log(dag_id, run_id, task_id, attempt):
            lines.append(line["event"] if isinstance(line, dict) else line)
            for error in (line.get("error_detail") or ()) if isinstance(line, dict) else ():
                lines.append(f"{error['exc_type']}: {error['exc_value']}")
        return lines

    def error(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> tuple[str, str] | None:
        """Class and message of the error that ended a task, if its log has one."""
        for line in reversed(self._log(dag_id, run_id, task_id, attempt)):
            if isinstance(line, dict) and line.get("error_detail"):
                raised = line["error_detail"][0]
                return str(raised["exc_type"]), str(raised["exc_value"])
        return None

    def _log(self, dag_id: str, run_id: str, task_id: str, attempt: int) -> list[Any]:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        return list(self._get(path)["content"])

    def _get(self, path: str, **params: Any) -> Any:
        return self._call("GET", path, params=params)

    def _call(self, method: str, path: str, *, missing_ok: bool = False, **arguments: Any) -> Any:
        try:
            if time.monotonic() > self._token_until:
                login = self._http.post("/auth/token", json=self._login)
                if login.status_code == httpx.codes.UNAUTHORIZED:
                    raise ConfigurationError(f"{self._http.base_url} refuses the login of {self._login['username']}.")
                self._http.headers["Authorization"] = f"Bearer {login.raise_for_status().json()['access_token']}"
                self._token_until = time.monotonic() + 3600
            answer = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise NotAvailableError(f"Airflow at {self._http.base_url} does not answer: {error}") from error
        if missing_ok and answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise NotAvailableError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:500]}")
        return answer.json()
