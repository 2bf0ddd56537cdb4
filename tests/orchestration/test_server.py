"""Starting finds free ports and leaves nothing behind; a dead server's traces harm nobody."""

import os
import signal
import socket
import subprocess
import sys
import threading
from typing import Any

import psutil
import pytest

from coldframe.errors import ColdframeError
from coldframe.orchestration import server as airflow_server
from coldframe.orchestration.server import COMPONENTS, Process, Server
from coldframe.settings import Settings, get_settings


@pytest.fixture
def settings(installation: Any) -> Settings:
    installation()
    settings = get_settings()
    (settings.home / "airflow" / "logs").mkdir(parents=True)
    return settings


@pytest.fixture
def sleeper() -> Any:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], process_group=0)
    yield process
    process.kill()
    process.wait()


def server(settings: Settings, process: Process) -> Server:
    components = dict.fromkeys(COMPONENTS, process)
    return Server(settings.home / "airflow", 1, Process.of(os.getpid()), process.pid, components)


def test_a_server_whose_processes_live_is_found_again(settings: Settings, sleeper: Any) -> None:
    airflow_server._write(server(settings, Process.of(sleeper.pid)), settings)
    found = airflow_server.running(settings)
    assert found is not None
    assert found.reused
    assert found.lost() == []


def test_a_pidfile_whose_number_another_process_has_by_now_is_swept_away(settings: Settings, sleeper: Any) -> None:
    earlier = Process(sleeper.pid, Process.of(sleeper.pid).created - 1000)
    airflow_server._write(server(settings, earlier), settings)
    assert airflow_server.running(settings) is None
    assert not (settings.home / "airflow" / "server.json").exists()
    assert sleeper.poll() is None, "a stranger was killed"


@pytest.mark.parametrize("content", ["", "{}", '{"home": 1, "port"'])
def test_a_broken_pidfile_means_nothing_runs(settings: Settings, content: str) -> None:
    (settings.home / "airflow" / "server.json").write_text(content)
    assert airflow_server.running(settings) is None


def test_stopping_ends_children_and_grandchildren(settings: Settings) -> None:
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    parent = subprocess.Popen(
        [sys.executable, "-c", code + "print(1, flush=True); time.sleep(600)"], process_group=0, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    parent.stdout.readline()
    family = [psutil.Process(parent.pid), *psutil.Process(parent.pid).children(recursive=True)]
    assert len(family) == 2
    airflow_server.stop(server(settings, Process.of(parent.pid)), settings)
    assert not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family)
    parent.stdout.close()
    parent.wait()


def test_a_component_that_ends_is_reported_with_the_end_of_its_log(settings: Settings, sleeper: Any) -> None:
    dead = server(settings, Process.of(sleeper.pid))
    airflow_server._write(dead, settings)
    dead.log("scheduler").write_text("line 1\nno space left on device\n")
    sleeper.kill()
    sleeper.wait()
    with pytest.raises(ColdframeError, match=r"(?s)scheduler has ended.*no space left on device"):
        airflow_server.watch(dead, settings)


def test_a_server_that_down_stops_from_another_shell_has_not_failed(settings: Settings, sleeper: Any) -> None:
    watched = server(settings, Process.of(sleeper.pid))
    airflow_server._write(watched, settings)
    reaper = threading.Thread(target=sleeper.wait)
    reaper.start()
    airflow_server.down(lambda _: None)
    reaper.join()
    airflow_server.watch(watched, settings)
    airflow_server._write(watched, settings, stopping=True)
    airflow_server.watch(watched, settings)


def test_a_taken_port_is_left_to_whoever_has_it(settings: Settings) -> None:
    home = settings.home / "airflow"
    with socket.socket() as other:
        other.bind((airflow_server.HOST, 0))
        other.listen()
        (home / "port").write_text(str(other.getsockname()[1]))
        port = airflow_server._free_port(home)
        assert port != other.getsockname()[1]
    assert airflow_server._free_port(home) == port, "the next start has the same address"


def test_the_environment_follows_the_port_and_stays_on_loopback(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "9")
    monkeypatch.setenv("AIRFLOW__API__HOST", "0.0.0.0")
    env = airflow_server.environment(settings, 4321)
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:4321/execution/"
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__CORE__PARALLELISM"] == "9", "what tunes the machine is the user's"
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert env["COLDFRAME_HOME"] == str(settings.home)
    assert all("--skip-serve-logs" in COMPONENTS[name] for name in ("scheduler", "triggerer"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_command_ends_airflow_even_if_nobody_reads_its_output(
    settings: Settings,
    sleeper: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    number: signal.Signals,
) -> None:
    started = server(settings, Process.of(sleeper.pid))
    monkeypatch.setattr(airflow_server, "start", lambda *_: started)
    # A shell starts what runs in its background with SIGINT ignored; what is ignored stays so.
    before = {each: signal.signal(each, signal.default_int_handler) for each in (signal.SIGINT, signal.SIGHUP)}
    request.addfinalizer(lambda: [signal.signal(each, handler) for each, handler in before.items()])

    def broken(_: str) -> None:
        raise BrokenPipeError

    with pytest.raises(KeyboardInterrupt), airflow_server.kept(settings, broken):
        signal.raise_signal(number)
    assert sleeper.wait(timeout=10) is not None


def test_down_says_so_when_nothing_runs(settings: Settings) -> None:
    said: list[str] = []
    airflow_server.down(said.append)
    assert said == ["Airflow is not running."]


def test_no_two_starts_at_once(settings: Settings) -> None:
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    lock = settings.home / "airflow" / "start.lock"
    with airflow_server._only_one(settings):
        second = subprocess.run([sys.executable, "-c", code, str(lock)], check=False, capture_output=True)
    assert b"BlockingIOError" in second.stderr
