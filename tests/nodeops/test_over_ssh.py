"""A host reached over SSH is the same host: a session through an SSH server of our own, on loopback, with a key of this test's."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import HostLost, NotFound
from models.protocol.host import ChangeInstance, Create, DoctorReport, InstanceStatus, OfInstance
from nodeops.init.files import NodeFiles
from nodeops.instance import layout_of
from nodeops.session import HostSession, OverSsh
from tests.nodeops.instances import assert_nothing_left, lan_spec
from tests.ssh_hosts import first_in_path, ssh_hosts


@pytest.fixture
def over_ssh(state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OverSsh]:
    with ssh_hosts(tmp_path, far=state_dir) as commands:
        monkeypatch.setenv("PATH", first_in_path(commands))
        yield OverSsh("far", str(tmp_path / "far.python"))


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
