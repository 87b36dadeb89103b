"""What `doctor` says of a host that is well, and of one that is not."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from models.protocol.host import Check, DoctorReport, Instances, Reap, Reaped
from models.settings import settings
from nodeops import doctor
from nodeops.reach import init_identity
from nodeops.session import HostSession
from tests.nodeops.instances import Make, lan_spec, wait_until


def named(report: DoctorReport, name: str) -> list[Check]:
    return [check for check in report.checks if check.name == name]


def test_this_host_is_well(session: HostSession) -> None:
    report = session.do("doctor", None, DoctorReport)
    assert report.usable
    names = {check.name for check in report.checks}
    assert {"root", "kernel", "overlayfs", "tun", "cgroup version 2", "state directory", "disk", "criu", "limit: neighbours",
            "limit: inotify", "limit: open files", "tool: tcpdump"} <= names
    assert all(check.next for check in report.checks if check.status != "ok")
    assert not list(settings().state_dir.rglob("trial-*"))


def test_what_is_lost_is_told(make: Make, session: HostSession) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires",))
    victim = init_identity(layout.node("a"))
    victim.signal(signal.SIGKILL)
    wait_until(lambda: not victim.alive())
    found = named(session.do("doctor", None, DoctorReport), f"instance {layout.root.name}")
    assert [(check.status, check.what) for check in found] == [("warn", "'test' has lost a")]


def test_what_a_crash_left_is_told(session: HostSession) -> None:
    left = settings().instances_dir / "i-left"
    left.mkdir(parents=True)
    found = named(session.do("doctor", None, DoctorReport), "instance i-left")
    assert found[0].next == "swapbed doctor --reap"
    assert [each.instance for each in session.do("instances", None, Instances).instances] == ["i-left"]
    assert session.do("reap", Reap(), Reaped).instances == ("i-left",)
    assert not left.exists()


@pytest.mark.usefixtures("state_dir")
def test_every_trouble_has_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "KERNEL", (99, 0))
    monkeypatch.setattr(doctor, "CRIU", (99, 0))
    monkeypatch.setattr(doctor, "BINARY", Path("/nonexistent"))
    monkeypatch.setenv("PATH", "/nonexistent")
    state = settings().state_dir
    subprocess.run(["/usr/bin/mount", "-t", "ramfs", "none", state], check=True)
    try:
        report = doctor.examine()
    finally:
        subprocess.run(["/usr/bin/umount", state], check=True)
    assert not report.usable
    troubled = {check.name: check.status for check in report.checks if check.status != "ok"}
    expected = {"kernel": "fail", "state directory": "fail", "criu": "warn", "tool: tcpdump": "warn", "tool: pasta": "warn"}
    assert troubled.items() >= expected.items()
