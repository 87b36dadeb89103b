"""Limits where the controller is, whatever the host has mounted; freezing and killing whole cgroups."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import HostProblem
from models.spec import Node
from nodeops import cgroups
from nodeops.cgroups import Hierarchies, Limit
from nodeops.journal import Cgroup

NODE = Node(name="n", cpus=0.5, memory_bytes=1 << 20)


def test_limits_go_where_the_controller_is(tmp_path: Path) -> None:
    two, one = tmp_path / "unified", tmp_path / "cpu"
    at = Path("swapbed/i/n")
    unified = Hierarchies(two, frozenset({"cpu", "memory"}), {})
    assert cgroups.limits_of("i", NODE, unified) == [Limit(two / at, "cpu.max", "50000 100000"), Limit(two / at, "memory.max", "1048576")]
    hybrid = Hierarchies(two, frozenset({"memory"}), {"cpu": one})
    assert cgroups.limits_of("i", NODE, hybrid) == [Limit(one / at, "cpu.cfs_quota_us", "50000"), Limit(two / at, "memory.max", "1048576")]
    assert cgroups.paths_needed("i", ["n"], cgroups.limits_of("i", NODE, hybrid), hybrid) == [
        two / "swapbed/i", two / at, one / "swapbed/i", one / at]
    with pytest.raises(HostProblem, match="no memory cgroup controller"):
        cgroups.limits_of("i", NODE, Hierarchies(two, frozenset({"cpu"}), {}))
    assert cgroups.limits_of("i", Node(name="n"), Hierarchies(two, frozenset(), {})) == []


def test_a_version_2_limit_passes_the_controller_down(tmp_path: Path) -> None:
    where = Hierarchies(tmp_path, frozenset({"cpu"}), {})
    leaf = tmp_path / "swapbed/i/n"
    leaf.mkdir(parents=True)
    cgroups.limit([Limit(leaf, "cpu.max", "50000 100000")], where)
    for level in (tmp_path, tmp_path / "swapbed", tmp_path / "swapbed/i"):
        assert (level / "cgroup.subtree_control").read_text() == "+cpu"
    assert not (leaf / "cgroup.subtree_control").exists()
    assert (leaf / "cpu.max").read_text() == "50000 100000"


@pytest.fixture
def cgroup() -> Iterator[Cgroup]:
    path = cgroups.instance_cgroup("i-cgroup-test")
    made = cgroups.make([path])[0]
    yield made
    cgroups.kill(made)
    cgroups.remove([made])
    assert not path.exists()


def test_freezing_and_killing(cgroup: Cgroup) -> None:
    path = Path(cgroup.path)
    with cgroups.joining(path) as join:
        process = subprocess.Popen(["sh", "-c", "while :; do echo x; sleep .01; done"], stdout=subprocess.PIPE, preexec_fn=join)
    assert process.stdout
    assert process.stdout.read(2) == b"x\n"
    cgroups.freeze(path, True)
    before = process_time(process.pid)
    time.sleep(0.1)
    assert process_time(process.pid) == before
    cgroups.kill(cgroup)
    assert process.wait() == -9
    process.stdout.close()
    cgroups.kill(cgroup.model_copy(update={"inode": 1}))


def process_time(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7:15]
