"""Airflow on one machine: `coldframe up` starts its components on loopback, watches them, and stops every one of them.

It is what `make demo` stands on. When this is wrong, forty orphaned processes keep the ports, or the second start waits
for a server that is gone. Components are started one by one rather than by `airflow standalone`, which leaves its
children behind on SIGTERM and lets scheduler and triggerer serve logs on all interfaces.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from coldframe.errors import ColdframeError, NotAvailableError
from coldframe.orchestration.client import AirflowClient
from coldframe.settings import PREFIX, PROJECT_ROOT, Settings, get_settings

HOST = "127.0.0.1"
USERNAME = "admin"
# Neither scheduler nor triggerer serves logs: the API server reads the files itself, on the same machine.
COMPONENTS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}
HEALTHY = ("metadatabase", "scheduler", "dag_processor", "triggerer")
# What every task imports before it does anything, and what most steps import first.
PRELOADED = (
    "airflow.dag_processing.dagbag",
    "airflow.executors.local_executor",
    "airflow.models.taskinstance",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.ti_deps.dependencies_deps",
    "coldframe.orchestration.dbt",
    "coldframe.execution",
    "coldframe.transform",
    "cosmos.listeners.dag_run_listener",
    "cosmos.listeners.task_instance_listener",
    "cosmos.plugin.airflow3",
    "pandas",
    "pyarrow.parquet",
)
START_SECONDS = 240
STOP_SECONDS = 10

Say = Callable[[str], None]


@dataclass(frozen=True)
class Process:
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> "Process":
        return cls(pid, psutil.Process(pid).create_time())

    def find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            same = process.create_time() == self.created and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if same else None


@dataclass(frozen=True)
class Server:
    """A running Airflow. `owner` is the foreground process that stops it; `group` the components' process group."""

    home: Path
    port: int
    owner: Process
    group: int
    components: dict[str, Process]
    reused: bool = False

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def password(self) -> str:
        """The generated password of `admin`. Raises NotAvailableError before the API server has written it."""
        file = self.home / "passwords.json"
        try:
            return str(json.loads(file.read_text())[USERNAME])
        except (FileNotFoundError, ValueError, KeyError) as error:
            raise NotAvailableError(f"Airflow has not written {file} yet.") from error

    def client(self) -> AirflowClient:
        return AirflowClient(self.url, USERNAME, self.password)

    def log(self, component: str) -> Path:
        return self.home / "logs" / f"{component}.log"

    def lost(self) -> list[str]:
        """Components that have ended."""
        return [name for name, process in self.components.items() if process.find() is None]


def environment(settings: Settings, port: int) -> dict[str, str]:
    """What the components inherit. Airflow options set outside win, except those that hold this set-up together."""
    home = settings.home / "airflow"
    chosen = {f"{PREFIX}{k}".upper(): str(v) for k, v in settings.model_dump(mode="json", exclude_none=True).items()}
    tunable = {
        "CORE__PARALLELISM": "4",
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": "4",
        # A chain of short tasks waits for the scheduler's nap and the executor's news far longer than it works.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "2",
        # Tasks inherit these from one process that has imported them, instead of importing them anew each.
        "CORE__MP_START_METHOD": "forkserver",
        "CORE__MP_FORKSERVER_PRELOAD": ",".join(PRELOADED),
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "API__INSTANCE_NAME": "Coldframe",
        "LOGGING__COLORED_CONSOLE_LOG": "False",
    }
    fixed = {
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_FOLDER": str(PROJECT_ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "API__HOST": HOST,
        "API__PORT": str(port),
        "API__BASE_URL": f"http://{HOST}:{port}",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs" / "tasks"),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(home / "logs" / "parsing"),
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        "COSMOS__ENABLE_TELEMETRY": "False",
        "COSMOS__CACHE_DIR": str(home / "cosmos"),
    }
    named = {f"AIRFLOW__{name}": value for name, value in tunable.items()}
    named |= {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW__")}
    named |= {f"AIRFLOW__{name}": value for name, value in fixed.items()}
    outside = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return (
        outside
        | chosen
        | named
        | {
            "AIRFLOW_HOME": str(home),
            "DO_NOT_TRACK": "1",
            "GX_ANALYTICS_ENABLED": "false",
            "FEAST_USAGE": "False",
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), HOST))),
            # macOS ends forked children that touch its network libraries; the executor forks.
            "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
        }
    )


def running(settings: Settings) -> Server | None:
    """The Airflow of this installation if all of it is alive; whatever is left of a dead one is swept away."""
    file = _pidfile(settings)
    try:
        record = json.loads(file.read_text())
        server = Server(
            home=Path(record["home"]),
            port=record["port"],
            owner=Process(**record["owner"]),
            group=record["group"],
            components={name: Process(**process) for name, process in record["components"].items()},
            reused=True,
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        file.unlink(missing_ok=True)
        return None
    if server.lost():
        stop(server, settings)
        return None
    return server


def start(settings: Settings, say: Say = lambda _: None) -> Server:
    """Airflow, healthy, with the DAGs read and the pools set. Re-uses a running one, adopts one whose owner is gone.

    Raises ColdframeError with the tail of the log when a component ends or nothing is healthy in time.
    """
    with _only_one(settings):
        server = running(settings)
        if server is not None:
            if server.owner.find() is None:
                server = Server(server.home, server.port, Process.of(os.getpid()), server.group, server.components)
                _write(server, settings)
            say(f"Airflow is already running at {server.url}")
        else:
            server = _start_anew(settings, say)
        _wait_until_healthy(server, settings)
        return server


def stop(server: Server, settings: Settings) -> None:
    """Ends every process of the server: asks all of them, waits, then kills what is left."""
    family: dict[int, psutil.Process] = {}
    for component in server.components.values():
        if process := component.find():
            family[process.pid] = process
            family |= {child.pid: child for child in _children(process)}
    # Children of a component that has died belong to nobody, but still to the group and to this home.
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == server.group and _is_ours(process, server):
                family[process.pid] = process
        except (ProcessLookupError, PermissionError, psutil.Error):
            continue
    for process in family.values():
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(list(family.values()), timeout=STOP_SECONDS)
    for process in alive:
        family |= {child.pid: child for child in _children(process)}
    for process in family.values():
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(list(family.values()), timeout=STOP_SECONDS)
    _pidfile(settings).unlink(missing_ok=True)


def watch(server: Server, settings: Settings) -> None:
    """Returns when `down` stops the server; raises ColdframeError with the tail of its log when a component ends."""
    while not (lost := server.lost()):
        time.sleep(1)
    try:
        if json.loads(_pidfile(settings).read_text()).get("stopping"):
            return
    except FileNotFoundError:
        return
    raise ColdframeError(_obituary(server, lost))


@contextmanager
def kept(settings: Settings, say: Say = lambda _: None) -> Iterator[Server]:
    """A server for the length of the block. On leaving it is stopped if started here.

    Ctrl-C, SIGTERM and a closed terminal all count as leaving.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # What whoever started us has ignored (nohup) stays ignored.
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        server = start(settings, say)
        try:
            yield server
        finally:
            if not server.reused:
                # A second Ctrl-C while stopping would leave processes behind.
                interrupted = signal.signal(signal.SIGINT, signal.SIG_IGN)
                # Whoever read our output may be gone, and nothing said must keep processes alive.
                with suppress(OSError):
                    say("Stopping Airflow …")
                stop(server, settings)
                signal.signal(signal.SIGINT, interrupted)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def up(say: Say = print) -> None:
    """Starts Airflow and stays in the foreground until Ctrl-C. Raises ColdframeError when a component ends."""
    settings = get_settings()
    try:
        with kept(settings, say) as server:
            say(f"Airflow is at {server.url} (user {USERNAME}, password {server.password}).")
            say(f"Logs: {server.home / 'logs'}")
            if server.reused:
                say("It belongs to another `coldframe up` or `demo`; stop it there or with `coldframe down`.")
                return
            say("Ctrl-C stops it.")
            watch(server, settings)
            say("`coldframe down` stopped it.")
    except KeyboardInterrupt:
        return


def down(say: Say = print) -> None:
    """Stops what `up` or `demo` left running."""
    settings = get_settings()
    server = running(settings)
    if server is None:
        say("Airflow is not running.")
        return
    # Whoever watches it should not take this for a failure.
    _write(server, settings, stopping=True)
    stop(server, settings)
    say(f"Stopped Airflow at {server.url}.")


def _start_anew(settings: Settings, say: Say) -> Server:
    home = settings.home / "airflow"
    (home / "logs").mkdir(parents=True, exist_ok=True)
    _make_manifest(settings, say)
    port = _free_port(home)
    env = environment(settings, port)
    _migrate(home, env, say)
    say(f"Starting Airflow at http://{HOST}:{port} …")
    started: dict[str, subprocess.Popen[bytes]] = {}
    group = 0
    for name, arguments in COMPONENTS.items():
        started[name] = _airflow(arguments, home / "logs" / f"{name}.log", env, group)
        group = group or started[name].pid
    server = Server(
        home, port, Process.of(os.getpid()), group, {name: Process.of(p.pid) for name, p in started.items()}
    )
    _write(server, settings)
    return server


def _make_manifest(settings: Settings, say: Say) -> None:
    """dbt's manifest, from which the transform DAG is drawn. In a process of its own: dbt is heavy and keeps state."""
    say("Reading the dbt project …")
    code = "from coldframe.transform import manifest; manifest()"
    env = os.environ | {f"{PREFIX}HOME": str(settings.home)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise ColdframeError(f"dbt cannot read the project:\n{done.stdout.decode(errors='replace')[-3000:]}")


def _migrate(home: Path, env: dict[str, str], say: Say) -> None:
    """Brings Airflow's database to the installed version; skipped when it is there already."""
    stamp = home / "database.version"
    installed = version("apache-airflow-core")
    if stamp.is_file() and stamp.read_text() == installed and (home / "airflow.db").is_file():
        return
    say("Preparing Airflow's database …")
    log = home / "logs" / "migrate.log"
    if _airflow(("db", "migrate"), log, env, 0).wait():
        raise ColdframeError(f"Airflow's database could not be prepared. End of {log}:\n{_tail(log)}")
    stamp.write_text(installed)


def _airflow(arguments: tuple[str, ...], log: Path, env: dict[str, str], group: int) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "airflow", *arguments],
            env=env,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # A group of its own, so that the terminal's Ctrl-C reaches only us and we stop things in order.
            process_group=group,
        )


def _wait_until_healthy(server: Server, settings: Settings) -> None:
    from coldframe.orchestration.dags import POOLS

    deadline = time.monotonic() + START_SECONDS
    wanted = {file.stem for file in (PROJECT_ROOT / "dags").glob("[!_]*.py")}
    with AirflowClient(server.url) as anybody:
        while any(anybody.health().get(name) != "healthy" for name in HEALTHY):
            _complain_or_wait(server, settings, deadline, "is not healthy")
    with server.client() as client:
        for name, (slots, description) in POOLS.items():
            client.set_pool(name, slots, description)
        while not wanted <= client.dag_ids():
            if errors := client.import_errors():
                _give_up(server, settings, "\n".join(f"{file}:\n{trace}" for file, trace in errors.items()))
            _complain_or_wait(server, settings, deadline, "has not read the DAGs")


def _complain_or_wait(server: Server, settings: Settings, deadline: float, trouble: str) -> None:
    if lost := server.lost():
        _give_up(server, settings, _obituary(server, lost))
    if time.monotonic() > deadline:
        _give_up(server, settings, f"Airflow {trouble} after {START_SECONDS} s. Logs: {server.home / 'logs'}")
    time.sleep(0.3)


def _give_up(server: Server, settings: Settings, message: str) -> None:
    if not server.reused:
        stop(server, settings)
    raise ColdframeError(message)


def _obituary(server: Server, lost: list[str]) -> str:
    logs = {name: server.log(name) for name in lost}
    return "\n".join(f"Airflow's {name} has ended. End of {log}:\n{_tail(log)}" for name, log in logs.items())


def _tail(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else "(no log)"


def _free_port(home: Path) -> int:
    """The port of the last start if it is free, so that open browser tabs stay good; else one the system gives."""
    last = home / "port"
    for candidate in (int(last.read_text()) if last.is_file() else 8080, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, candidate))
            except OSError:
                continue
            port: int = probe.getsockname()[1]
            last.write_text(str(port))
            return port
    raise ColdframeError(f"No free port on {HOST}.")


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_ours(process: psutil.Process, server: Server) -> bool:
    return process.environ().get("AIRFLOW_HOME") == str(server.home)


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _pidfile(settings: Settings) -> Path:
    return settings.home / "airflow" / "server.json"


def _write(server: Server, settings: Settings, stopping: bool = False) -> None:
    record: dict[str, Any] = asdict(server) | {"home": str(server.home), "stopping": stopping}
    del record["reused"]
    _pidfile(settings).write_text(json.dumps(record))


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Two starts at once would fight for the database: the second waits, then finds the first one's server."""
    lock = settings.home / "airflow" / "start.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
