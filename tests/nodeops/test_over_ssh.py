"""A host reached over SSH is the same host: a session through an SSH server of our own, on loopback, with a key of this test's."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import HostLost, NotFound
from models.protocol.host import ChangeInstance, Create, DoctorReport, InstanceStatus, OfInstance
from nodeops.init.files import NodeFiles
from nodeops.instance import layout_of
from nodeops.session import HostSession, OverSsh
from tests.nodeops.instances import assert_nothing_left, lan_spec, wait_until


@pytest.fixture
def over_ssh(state_dir: Path, tmp_path: Path) -> Iterator[OverSsh]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    Path("/run/sshd").mkdir(exist_ok=True)
    configuration = (f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\nPidFile none\n"
                     "StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\nPrintMotd no\n")
    (tmp_path / "sshd").write_text(configuration)
    server = subprocess.Popen([shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", tmp_path / "sshd"], stderr=subprocess.DEVNULL)
    options = ("-F", "none", "-p", str(port), "-i", str(tmp_path / "user"), "-o", f"UserKnownHostsFile={tmp_path}/known",
               "-o", "StrictHostKeyChecking=accept-new")
    try:
        wait_until(lambda: _listens(port))
        yield OverSsh(f"{getpass.getuser()}@127.0.0.1", sys.executable, options,
                      {"SWAPBED_STATE_DIR": str(state_dir), "PYTHONPATH": str(Path(__file__).parents[2])})
    finally:
        server.terminate()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_instance_over_ssh(over_ssh: OverSsh, tmp_path: Path) -> None:
    layout = layout_of("i-ssh")
    with HostSession(over_ssh) as session:
        assert session.do("doctor", None, DoctorReport).usable
        status = session.do("create", Create(instance="i-ssh", name="x", spec=lan_spec("a", "b"), daemons=("wires",)), InstanceStatus)
        assert status.whole
        (tmp_path / "file").write_bytes(b"\0\n\r~." * 100_000)
        with session.node("i-ssh", "a") as client:
            assert client.run("ping -q -c 1 b; hostname").stdout.endswith(b"a\n")
            NodeFiles(client).put(tmp_path / "file", "/file")
        done = session.popen(["exec", "i-ssh", "a", "--", "cat", "/file"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        assert done.communicate()[0] == (tmp_path / "file").read_bytes()
        assert done.returncode == 0
    with HostSession(over_ssh) as session:
        assert session.do("inspect", OfInstance(instance="i-ssh"), InstanceStatus) == status
        session.call("destroy", ChangeInstance(instance="i-ssh"))
        with pytest.raises(NotFound):
            session.call("inspect", OfInstance(instance="i-ssh"))
    assert_nothing_left(layout)


def test_a_host_that_is_not_there_is_said(over_ssh: OverSsh) -> None:
    over_ssh.python = "/nonexistent/python"
    with HostSession(over_ssh) as session, pytest.raises(HostLost, match="No such file"):
        session.call("doctor")
