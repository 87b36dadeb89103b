"""The local server and the controller are started once, whoever asks, found again, replaced when stale, and ended by identity."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from models.errors import HostProblem, TimedOut
from swapbed.serving import server
from swapbed.serving.daemon import Daemon


@pytest.fixture
def daemon(tmp_path: Path):
    made = Daemon(tmp_path / "state", "sleeper")
    yield made
    if made.directory.is_dir():
        made.stop()


def _spawn(daemon: Daemon, *command: str) -> None:
    with daemon.alone():
        daemon.spawn(command or ("/bin/sleep", "600"), os.environ)
        daemon.await_ready(lambda: daemon.identity() is not None)


def test_a_daemon_is_known_by_identity_not_by_pid(daemon: Daemon) -> None:
    _spawn(daemon)
    identity = daemon.identity()
    assert identity is not None and Path(f"/proc/{identity.pid}/comm").read_text().strip() == "sleep"
    stranger = daemon.record.read_text().replace(str(identity.start_ticks), str(identity.start_ticks + 1))
    mine = daemon.record.read_text()
    daemon.record.write_text(stranger)  # as if the pid had been used again
    assert daemon.identity() is None and not daemon.stop()
    assert identity.alive()
    daemon.record.write_text(mine)
    assert daemon.stop() and not identity.alive()


def test_one_that_dies_while_starting_shows_its_log(daemon: Daemon) -> None:
    with daemon.alone(), pytest.raises(HostProblem, match="no luck today"):
        daemon.spawn(("/bin/sh", "-c", "sleep 0.2; echo no luck today; exit 1"), os.environ)
        daemon.await_ready(lambda: False)


def test_starters_queue_and_give_up(daemon: Daemon) -> None:
    with daemon.alone(), pytest.raises(TimedOut, match="somebody else"), daemon.alone(patience_s=0.1):
        pass


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostProblem, match="SWAPBED_STATE_DIR"), Daemon(tmp_path / "file" / "x", "d").alone():
        pass


def test_two_commands_at_once_start_one_server_which_later_ones_reuse(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    code = "import json; from swapbed.serving import server; api = server.ensure(); print(json.dumps([api, server.status().model_dump()]))"
    try:
        commands = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
        first, second = (json.loads(command.communicate(timeout=120)[0]) for command in commands)
        assert first == second
        began = time.monotonic()
        assert server.ensure() == first[0]
        assert time.monotonic() - began < 0.5
        assert urllib.request.urlopen(f"{first[0]}/health", timeout=5).status == 200
        _a_killed_controller_is_replaced_and_a_stale_one_too(state_dir)
    finally:
        before = server.down()
    assert before.server is not None and not before.server.alive()
    assert before.controller is not None and not before.controller.alive()
    assert server.status().api is None


def _a_killed_controller_is_replaced_and_a_stale_one_too(state_dir: Path) -> None:
    killed = server.status().controller
    assert killed is not None and killed.signal(signal.SIGKILL)
    while killed.alive():
        time.sleep(0.01)
    server.ensure()
    stale = server.status().controller
    assert stale is not None and stale != killed
    (state_dir / "controller" / "fingerprint").write_text("of other code")
    server.ensure()
    fresh = server.status().controller
    assert fresh is not None and fresh != stale and not stale.alive()


def test_a_script_and_the_command_share_one_controller(state_dir: Path) -> None:
    """They may call the same Python by different names."""
    found = set()
    try:
        for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
            code = "from swapbed.serving import server; server.ensure_controller('http://127.0.0.1:9/api')"
            subprocess.run([Path(sys.prefix, "bin", name), "-c", code], check=True)
            found.add(server.status().controller)
    finally:
        server.down()
    assert len(found) == 1 and None not in found


def test_another_server_is_used_when_named(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example:4200/api")
    status = server.status()
    assert (status.external, status.ui, status.server) == (True, "http://prefect.example:4200", None)


def test_the_local_server_is_the_local_one_also_where_its_url_is_set(prefect_server: str, installation: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere where Prefect is in use: in a notebook after the first verb, in the controller, in its children."""
    monkeypatch.setenv("PREFECT_API_URL", prefect_server)
    assert server.external_api() is None and not server.status().external
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere/api")
    assert server.external_api() == "http://elsewhere/api"
