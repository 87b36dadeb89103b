"""Files in and out of a node."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from throwaway import ThrowawayNode

from models.errors import Conflict, InvalidInput, NotFound
from nodeops.init.files import NodeFiles


def make_tree(root: Path) -> None:
    (root / "deep/er").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "big").write_bytes(os.urandom(3 << 20))
    (root / "deep/er/zero").touch()
    (root / os.fsdecode(b"not-utf8-\xff")).write_text("x")
    (root / "name with\nnewline").write_text("y")
    (root / "link").symlink_to("deep/er")
    (root / "dangling").symlink_to("/no/such/../thing")
    (root / "script").write_text("#!/bin/sh\n")
    (root / "script").chmod(0o755)
    os.utime(root / "script", ns=(10**18 + 1, 10**18 + 1))


def picture(root: Path) -> dict[str, tuple]:
    found = {}
    for directory, names, files in os.walk(root):
        for name in names + files:
            path = Path(directory) / name
            info = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(root))] = (info.st_mode, content, None if path.is_symlink() else info.st_mtime_ns)
    return found


def test_a_tree_comes_back_as_it_went_in(node: ThrowawayNode, tmp_path: Path):
    make_tree(tmp_path / "tree")
    with node.client() as client:
        files = NodeFiles(client)
        assert files.put(tmp_path / "tree", "/tmp/there") == []
        assert files.get("/tmp/there", tmp_path / "back") == []
        assert picture(tmp_path / "back") == picture(tmp_path / "tree")
        files.put(tmp_path / "tree", "/tmp/there")
        assert files.stat("/tmp/there/tree/script").mode == 0o755
        files.remove("/tmp/there")
        with pytest.raises(NotFound):
            files.stat("/tmp/there")


def test_long_directories_are_listed_whole(node: ThrowawayNode):
    with node.client() as client:
        client.run("mkdir /tmp/many; cd /tmp/many; python3 -c \"for i in range(6000): open('x' * 100 + str(i), 'w')\"")
        assert len(NodeFiles(client).names("/tmp/many")) == 6000


def test_what_cannot_travel_is_named(node: ThrowawayNode, tmp_path: Path):
    with node.client() as client:
        client.run("mkdir /tmp/odd; mkfifo /tmp/odd/fifo; echo x >/tmp/odd/file")
        assert NodeFiles(client).get("/tmp/odd", tmp_path / "odd") == ["/tmp/odd/fifo"]
        assert os.listdir(tmp_path / "odd") == ["file"]


def test_a_fifo_in_the_way_does_not_hang_init(node: ThrowawayNode, tmp_path: Path):
    (tmp_path / "file").write_text("x")
    with node.client() as client:
        client.run("mkfifo /tmp/fifo")
        with pytest.raises((InvalidInput, NotFound)):
            client.ask("read", [("path", "/tmp/fifo")])
        with pytest.raises(InvalidInput):
            NodeFiles(client).put(tmp_path / "file", "/tmp/fifo")
        client.hello()


def test_a_link_on_this_host_is_not_followed(node: ThrowawayNode, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "dir").symlink_to(tmp_path / "out")
    (tmp_path / "out" / "file").write_text("precious")
    (tmp_path / "target" / "plain").symlink_to(tmp_path / "out" / "file")
    with node.client() as client:
        client.run("mkdir -p /tmp/a/dir; echo bad >/tmp/a/dir/file; echo bad >/tmp/plain")
        files = NodeFiles(client)
        with pytest.raises(Conflict):
            files.get("/tmp/a/dir", tmp_path / "target")
        files.get("/tmp/plain", tmp_path / "target")
    assert (tmp_path / "out" / "file").read_text() == "precious"


def test_errors_name_the_file(node: ThrowawayNode, tmp_path: Path):
    with node.client() as client:
        with pytest.raises(NotFound, match="/no/such"):
            NodeFiles(client).get("/no/such", tmp_path / "x")
        with pytest.raises(InvalidInput, match="absolute"):
            NodeFiles(client).put(tmp_path, "relative")
