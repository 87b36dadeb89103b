"""Files of odd kinds, in datastores and in what runs leave: kept as they are, or refused and left out by name; never followed."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

import swapbed
from models.errors import NotFound, StoreProblem
from nodeops.linux import mount
from swapbed import record_verbs, templates
from tests.swapbed.conftest import COMMAND, Cli

MS_REMOUNT = 32
STRANGE = os.fsdecode(b"na\xefve")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "odd" / "datastore").mkdir(parents=True)
    (tmp_path / "odd" / "odd.yml").write_text("nodes: {a: }\n")
    return tmp_path / "odd"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


REFUSED = {
    "socket": _socket,
    "fifo": os.mkfifo,
    "character": lambda path: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3)),
    "block": lambda path: os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(7, 0)),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_file_is_refused_by_name(study: Path, state_dir: Path, cli: Cli, kind: str) -> None:
    (study / "datastore" / "deep").mkdir()
    REFUSED[kind](study / "datastore" / "deep" / "it")
    found = cli("template", "create", str(study))
    assert found.returncode == 3 and "datastore/deep/it" in found.stderr and kind in found.stderr and "Remove it" in found.stderr
    assert not list(templates.log())


def test_what_cannot_be_read_is_refused_by_name(study: Path, state_dir: Path) -> None:
    """Root may read everything, unless it has given up the right to."""
    powers = "-dac_override,-dac_read_search"
    without = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", str(COMMAND), "template", "create", str(study),
               "--format", "json"]
    for name, make in (("secret", Path.touch), ("closed", Path.mkdir)):
        place = study / "datastore" / name
        make(place)
        place.chmod(0)
        said = subprocess.run(without, capture_output=True, text=True, timeout=60)
        error = json.loads(said.stdout)
        assert said.returncode == 6 and error["where"].endswith(f"datastore/{name}") and "cannot be read" in error["what"], said
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    assert subprocess.run(without, capture_output=True, text=True, timeout=60).returncode == 0


def test_a_full_disk_during_a_commit_of_a_template_leaves_none(study: Path, state_dir: Path) -> None:
    (study / "datastore" / "noise").write_bytes(os.urandom(3_000_000))
    store = state_dir / "store"
    store.mkdir()
    mount("tmpfs", store, "tmpfs", options="size=1m")
    try:
        with pytest.raises(StoreProblem, match="(?i)space|full"):
            templates.create(study)
        assert not list(templates.log())
        mount("tmpfs", store, None, MS_REMOUNT, "size=64m")
        assert templates.create(study).new
    finally:
        assert ctypes.CDLL(None).umount2(str(store).encode(), 0) == 0


def test_the_others_reach_nodes_and_records_as_they_are(installation: Path, study: Path, tmp_path: Path, cli: Cli) -> None:
    files = study / "datastore"
    (tmp_path / "secret").write_text("of the host")
    (files / "one").write_text("once")
    os.link(files / "one", files / "two")
    os.symlink(tmp_path / "secret", files / "outside")
    os.symlink("nowhere", files / "dangling")
    (files / STRANGE).write_text("strange")
    (files / "sparse").touch()
    os.truncate(files / "sparse", 1 << 30)
    with swapbed.deploy(study, name="odd") as net:
        node = net["a"]
        said = node.run("cd $DATASTORE; cat one two na*; stat -c ' %s' sparse; readlink dangling").stdout
        assert said == "onceoncestrange 1073741824\nnowhere\n"
        assert node.run("readlink $DATASTORE/outside").stdout.strip() == str(tmp_path / "secret"), "a link, and not what it leads to"
        assert node.run("echo more >> $DATASTORE/one; cat $DATASTORE/one").stdout == "oncemore\n"
        assert (files / "one").read_text() == "once"
        node.run("cp -a $DATASTORE/. $ARCHIVE; cd $ARCHIVE; mkfifo pipe; ln two three; chmod 0 two", check=True)
        with pytest.raises(NotFound, match="run stop"):
            swapbed.record("odd")
        for words in (("show",), ("cat", "record.json"), ("export", "x.tar"), ("plot", "x.png")):
            asked = cli("record", words[0], "odd/1", *words[1:])
            assert asked.returncode == 4 and "made when the run stops" in asked.stderr, "the run is not over"
        assert cli("replay", "odd/1").returncode == 4
        record = swapbed.Record(record_verbs.of_run(net.stop().id))
    listing = {path.removeprefix("nodes/a/archive/"): file for path, file in record.files.listing.items() if "/archive/" in path}
    assert set(listing) == {"one", "two", "three", "outside", "dangling", STRANGE, "sparse"}
    assert [what.partition(":")[2].partition(":")[0].strip() for what in record.said.left_out] == ["archive/pipe"]
    assert listing["outside"].kind == listing["dangling"].kind == "symlink" and listing["outside"].target == str(tmp_path / "secret")
    assert record.files["nodes/a/archive/three"] == b"once" and listing["sparse"].size_bytes == 1 << 30
    assert record.files[f"nodes/a/archive/{STRANGE}"] == b"strange"
    shown = cli("record", "show", "odd/1", "--files", "--format", "json").parsed
    assert "nodes/a/archive/na\\xefve" in [file["path"] for file in shown["listing"]]
    assert "na\\xefve" in cli("record", "show", "odd/1", "--files").stdout and "na\\xefve" in record._repr_html_()
    for name in (STRANGE, "na\\xefve"):
        assert cli("record", "cat", "odd/1", f"nodes/a/archive/{name}").stdout == "strange"
    assert cli("record", "rm", "odd/1", "nodes/a/archive/na\\xefve").returncode == 0
    without = swapbed.record("odd/1")
    assert "nodes/a/archive/na\\xefve" in cli("record", "diff", record.id, without.id).stdout
    assert cli("record", "diff", record.id, without.id, "--format", "json").parsed["files"][0]["path"] == "nodes/a/archive/na\\xefve"
    assert cli("record", "rm", "odd/1", "nodes/a/archive/na\\xefve").returncode == 4, "not there any more"
    assert cli("record", "cat", "odd/1", "nodes/a/archive/outside").returncode == 3, "a link is not followed"
    exported = record.export(tmp_path / "out")
    assert (exported / "nodes/a/archive" / STRANGE).read_text() == "strange"
    assert (exported / "nodes/a/archive/sparse").stat().st_blocks < 100
