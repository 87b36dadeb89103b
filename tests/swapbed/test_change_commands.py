"""`instance modify`, `run start --template` and `mend` as they are called: with containers and virtual machines, and with wrong words."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import swapbed
from models.errors import Conflict, InvalidInput, NotFound
from models.settings import settings
from nodeops.layout import InstanceLayout
from nodeops.reach import read_inits
from nodeops.vm import machines
from swapbed import images, record_verbs
from swapbed.instance import Instance as Net
from tests.swapbed.conftest import Cli

BEFORE = """
nodes:
  a: {}
  v: {kind: vm, image: mine, memory: 96MB}
links:
  - {name: wire, endpoints: [a, v], delay: 1ms}
agents:
  marks: {node: v, command: "echo kept > $ARCHIVE/out; mkfifo $ARCHIVE/pipe"}
timeline:
  0s: marks run
"""
SLOWER = BEFORE.replace("1ms", "9ms")
LARGER = SLOWER.replace("agents:", "  - {name: new, endpoints: [v, w]}\nagents:").replace(
    "links:", "  w: {kind: vm, image: mine, memory: 96MB, failure: nonfatal}\nlinks:")
SWAPPED = BEFORE.replace("  a: {}", "  a: {kind: vm, image: mine, memory: 96MB}").replace(
    "  v: {kind: vm, image: mine, memory: 96MB}", "  v: {}")


@pytest.fixture
def mixed(installation: Path, tmp_path: Path) -> Iterator[Net]:
    """A container and a VM, whose image is in the store."""
    tiny = machines.tiny()
    images.import_("mine", kernel=tiny.kernel, initramfs=tiny.initramfs, append=tiny.append, replace=True)
    (tmp_path / "mixed.yml").write_text(BEFORE)
    with swapbed.deploy(tmp_path / "mixed.yml", name="mixed", start_run=False) as net:
        yield net


def _pids(net: Net) -> dict[str, int]:
    found = read_inits(InstanceLayout(settings().instances_dir / net.id))
    return {name: identity.pid for name, identity in found.items() if identity.alive()}


def _reaches(net: Net, node: str, other: str) -> bool:
    return net[node].run(f"ping -c 1 -W 5 {other}").ok


def test_machines_are_changed_and_mended(mixed: Net, cli: Cli, tmp_path: Path) -> None:
    source, before = tmp_path / "mixed.yml", _pids(mixed)
    source.write_text(SLOWER)
    said = cli("instance", "modify", "mixed", str(source))
    assert said.returncode == 0 and "links changed: wire" in said.stdout, said.stderr
    assert _pids(mixed) == before, "a link's delay is nothing that a machine knows"
    source.write_text(LARGER)
    told = cli("run", "start", "mixed", "--template", str(source), "--format", "json").parsed
    after = _pids(mixed)
    assert told["number"] == 1 and set(after) == {"a", "v", "w"} and after["a"] == before["a"] and after["v"] != before["v"]
    mixed._look_again()
    assert _reaches(mixed, "a", "w") and _reaches(mixed, "w", "a")
    read_inits(InstanceLayout(settings().instances_dir / mixed.id))["w"].signal(signal.SIGKILL)
    assert "w started again" in cli("mend", "mixed", "w").stdout
    assert _reaches(mixed, "a", "w") and _pids(mixed)["v"] == after["v"]
    assert "nothing was dead" in cli("mend", "mixed").stdout
    mixed.wait("idle", timeout_s=60)
    said_of_run = swapbed.Record(record_verbs.of_run(mixed.stop().id)).said
    assert [what for what in said_of_run.left_out if "pipe" in what] == ["v: archive/pipe: neither file nor directory nor symbolic link"]
    source.write_text(SWAPPED)
    said = cli("instance", "modify", "mixed", str(source), "--format", "json")
    assert set(said.parsed["changes"]) >= {"removed: w", "made anew: a, v"}
    mixed._look_again()
    assert _reaches(mixed, "v", "a") and mixed["v"].run("uname -r").stdout != mixed["a"].run("uname -r").stdout
    assert not (InstanceLayout(settings().instances_dir / mixed.id).root / "nodes" / "w").exists()


PAIR = """
parameters: {COUNT: {default: 1, type: integer}}
nodes: {a: , b: }
links: [{name: wire, endpoints: [a, b]}]
"""


@pytest.fixture
def pair(installation: Path, tmp_path: Path) -> Iterator[Net]:
    (tmp_path / "pair.yml").write_text(PAIR)
    (tmp_path / "broken.yml").write_text("nodes: {a: }\nlinks: [{endpoints: [a, nobody]}]\n")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "files.yml").write_text("nodes: {a: , b: }\n")
    (tmp_path / "files" / "datastore").mkdir()
    (tmp_path / "files" / "datastore" / "one").write_text("1")
    with swapbed.deploy(tmp_path / "pair.yml", name="pair", start_run=False) as net:
        yield net


def test_mistakes_are_named_and_change_nothing(pair: Net, cli: Cli, tmp_path: Path) -> None:
    before = _pids(pair)
    for words, code, said in (
            (("instance", "modify", "nobody", "pair.yml"), NotFound.exit_code, "nobody"),
            (("instance", "modify", "pair", "pair@99"), NotFound.exit_code, "pair@99"),
            (("instance", "modify", "pair", "missing.yml"), InvalidInput.exit_code, "missing.yml"),
            (("instance", "modify", "pair", "broken.yml"), InvalidInput.exit_code, "broken.yml:2"),
            (("instance", "modify", "pair", "files"), InvalidInput.exit_code, "datastore"),
            (("instance", "modify", "pair", "pair.yml", "-S", "COUNT=many"), InvalidInput.exit_code, "many"),
            (("instance", "modify", "pair", "pair.yml", "-S", "NOPE=1"), InvalidInput.exit_code, "NOPE"),
            (("run", "start", "pair", "--template", "pair@99"), NotFound.exit_code, "pair@99"),
            (("run", "start", "pair", "--template", "broken.yml"), InvalidInput.exit_code, "nobody"),
            (("run", "start", "pair", "--template", "pair.yml", "-S", "NOPE=1"), InvalidInput.exit_code, "NOPE"),
            (("mend", "nobody"), NotFound.exit_code, "nobody"), (("mend", "pair", "c"), NotFound.exit_code, "no node 'c'")):
        found = cli(*words)
        assert found.returncode == code and said in found.stderr and found.stdout == "", (words, found)
    assert _pids(pair) == before and pair.runs == []
    assert "nothing changed" in cli("instance", "modify", "pair", "pair.yml").stdout
    assert cli("run", "start", "pair", "--template", "pair.yml", "-S", "COUNT=2", "--format", "json").parsed["parameters"] == {"COUNT": "2"}
    found = cli("instance", "modify", "pair", "pair.yml", "-S", "COUNT=3")
    assert found.returncode == Conflict.exit_code and "run stop pair" in found.stderr


def test_one_that_was_swapped_out_cannot_be_mended(pair: Net, cli: Cli) -> None:
    assert cli("swapout", "pair").returncode == 0
    for words in (("mend", "pair"), ("instance", "modify", "pair", "pair.yml"), ("run", "start", "pair")):
        found = cli(*words)
        assert found.returncode == Conflict.exit_code and "swapped out" in found.stderr, (words, found)
    assert cli("swapin", "pair").returncode == 0
