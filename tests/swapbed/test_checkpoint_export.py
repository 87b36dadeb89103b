"""Checkpoints of a record's run go along when they are asked for, and can be forked where they come to."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import swapbed
from models.errors import Corrupt, InvalidInput
from models.manifest import ManifestRef
from storage.store import Store
from swapbed import deletion, record_verbs
from swapbed.living import checkpoint_verbs
from tests.swapbed.conftest import Cli

EXPERIMENT = """
nodes: {a: {}}
agents: {counter: {node: a, command: "while :; do echo x >> /counted; sleep 0.1; done"}}
timeline: {0s: counter start}
"""


def test_a_checkpoint_comes_back_and_can_be_forked(installation: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "carried.yml").write_text(EXPERIMENT)
    with swapbed.deploy(tmp_path / "carried.yml", name="carried") as net:
        net["a"].run("echo remembered > /mine", check=True)
        made = net.checkpoint()
        net["a"].run("echo forgotten > /mine", check=True)
        record = swapbed.Record(record_verbs.of_run(net.stop().id))
    plain, whole = record.export(tmp_path / "plain.tar"), tmp_path / "whole"
    assert cli("record", "export", "carried/1", str(whole), "--format", "rocrate", "--checkpoints").returncode == 0
    again = record.export(tmp_path / "again", "rocrate", checkpoints=True)
    states = [path.relative_to(again) for path in sorted((again / "swapbed-export" / "checkpoints").iterdir())]
    assert [path.name for path in states] == [made.row.root]
    assert all((whole / path).read_bytes() == (again / path).read_bytes() for path in states)
    deletion.delete_("template:carried", subtree=True)
    assert swapbed.import_record(plain).id == record.id and checkpoint_verbs.find_checkpoint(made.row.id).row.root is None
    deletion.delete_("template:carried", subtree=True)
    (again / states[0]).write_bytes((again / states[0]).read_bytes()[:-5])
    with pytest.raises(Corrupt, match="cut off"):
        swapbed.import_record(again)
    (again / states[0]).unlink()
    with pytest.raises(InvalidInput, match="checkpoint of the export is missing"):
        swapbed.import_record(again)
    swapbed.import_record(whole)
    assert checkpoint_verbs.find_checkpoint(made.row.id).row.root == made.row.root
    with swapbed.fork(made.row.id, name="carried-again") as net:
        assert net["a"].read("/mine") == b"remembered\n"


def test_a_manifest_as_one_file_goes_to_another_store(state_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "tree" / "sub").mkdir(parents=True)
    (tmp_path / "tree" / "big").write_bytes(b"".join(bytes([number % 251]) * 1000 for number in range(6000)))
    (tmp_path / "tree" / "sub" / "same").write_bytes((tmp_path / "tree" / "big").read_bytes())
    one, other = Store.of("one"), Store.of("other")
    manifest: ManifestRef = one.store_tree(tmp_path / "tree").manifest
    carried, twice = io.BytesIO(), io.BytesIO()
    one.write_manifest(manifest, carried)
    one.write_manifest(manifest, twice)
    assert carried.getvalue() == twice.getvalue() and len(carried.getvalue()) < 7_000_000, "each chunk once"
    other.take_manifest(manifest, io.BytesIO(carried.getvalue()), "it")
    other.restore_tree(manifest, tmp_path / "there")
    assert (tmp_path / "there/sub/same").read_bytes() == (tmp_path / "tree/big").read_bytes()
    third = Store.of("third")
    for bad in (b"", b"SBx1", carried.getvalue()[:-1], carried.getvalue().replace(b"\x07" * 1000, b"\x08" * 1000)):
        with pytest.raises(Corrupt):
            third.take_manifest(manifest, io.BytesIO(bad), "it")
