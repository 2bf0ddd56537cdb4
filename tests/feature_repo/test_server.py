"""Online look-ups over HTTP: a real server on the loopback interface, asked for what the snapshot holds."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from feast.feature_server import FeastServeApplication

from coldframe.errors import ConfigurationError, NotAvailableError
from feature_repo.server import serve
from feature_repo.steps import materialize

LOCAL = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def serving(source: str) -> Iterator[str]:
    """The address of `coldframe serve`, which is stopped on leaving the block."""
    port = free_port()
    log = open("server.log", "w+")  # noqa: PTH123, SIM115 - the installation's own folder is the working directory
    process = subprocess.Popen(
        [sys.executable, "-m", "coldframe.cli", "serve", "--source", source, "--port", str(port)],
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                LOCAL.open(f"{address}/health", timeout=5).close()
                break
            except OSError:
                log.seek(0)
                assert process.poll() is None, log.read()
                assert time.monotonic() < deadline, log.read()
                time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        log.close()


def ask(address: str, question: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the server answers, by feature: values and statuses in the order of the entities."""
    request = urllib.request.Request(
        f"{address}/get-online-features", json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with LOCAL.open(request, timeout=30) as response:
        answer = json.loads(response.read())
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


def test_a_server_answers_with_the_snapshots_features_and_with_the_next_ones_without_a_restart(features: Any) -> None:
    rows = [features.row(f"p{n}", units=n, price=n / 7) for n in range(20)]
    snapshot = features.publish(rows)
    materialize(features.request())
    products = ["p3", "p19", "never", "p3"]
    by_service = {"feature_service": "serving_v1", "entities": {"product_id": products}}
    with serving(features.source) as address:
        answer = ask(address, by_service)
        latest = snapshot.frame("ftr_product_week").set_index("product_id")
        for name in ("units_4w", "price_4w"):
            expected = [None if p == "never" else latest.loc[p, name] for p in products]
            assert answer[name]["values"] == expected
        assert answer["product_id"]["values"] == products
        assert [status == "PRESENT" for status in answer["units_4w"]["statuses"]] == [True, True, False, True]
        assert answer["units_4w"]["event_timestamps"][0] == "2024-05-06T00:00:00Z"
        by_name = {"features": ["product_week:units_4w"], "entities": {"product_id": ["p19"]}}
        assert ask(address, by_name)["units_4w"]["values"] == [19]

        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask(address, {"feature_service": "nothing", "entities": {"product_id": ["p3"]}})
        for question, reason in (
            ({"features": ["product_week:nothing"], "entities": {"product_id": ["p3"]}}, "Feature nothing not found"),
            ({"features": ["units_4w"], "entities": {"product_id": ["p3"]}}, "Invalid feature reference"),
            ({"feature_service": "serving_v1", "entities": {"sku": ["p3"]}}, "Missing join key values"),
        ):
            with pytest.raises(urllib.error.HTTPError, match="422") as refused:
                ask(address, question)
            assert reason in json.loads(refused.value.read())["detail"]

        features.publish([features.row("p3", units=300)])
        materialize(features.request())
        assert ask(address, by_service)["units_4w"]["values"] == [300, None, None, 300]


def test_serving_before_the_first_materialization_names_the_missing_steps_in_their_order(features: Any) -> None:
    with pytest.raises(NotAvailableError, match="land, transform, audit and materialize, in this order"):
        serve("never_landed", 6566)
    features.publish([features.row("a")])
    with pytest.raises(NotAvailableError, match="Run `coldframe materialize --source"):
        serve(features.source, 6566)


def test_a_port_somebody_else_has_is_named(features: Any) -> None:
    features.publish([features.row("a")])
    materialize(features.request())
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {taken} on 127.0.0.1 .* --port"):
            serve(features.source, taken)


def test_the_server_listens_on_the_loopback_interface_only(features: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feast's server also writes and asks nobody who they are."""
    features.publish([features.row("a")])
    materialize(features.request())
    started: list[list[str]] = []
    monkeypatch.setattr(FeastServeApplication, "run", lambda self: started.append(self.cfg.bind))
    port = free_port()
    serve(features.source, port)
    assert started == [[f"127.0.0.1:{port}"]]
