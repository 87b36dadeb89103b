"""Hosts as people name them: from the command line, well and wrongly."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.swapbed.conftest import Cli

pytestmark = pytest.mark.usefixtures("state_dir")


def test_named_drained_and_described_anew(cli: Cli) -> None:
    here = socket.gethostname()
    assert [(one["name"], one["address"], one["state"]) for one in cli("host", "ls", "--format", "json").parsed] == [(here, None, "up")]
    cli("host", "add", "bench1", "--address", "root@bench1", "--nodes", "3", "--memory", "4GiB")
    assert cli("host", "drain", "bench1", "--format", "json").parsed[0]["state"] == "drained"
    added, _ = sorted(cli("host", "ls", "--format", "json").parsed, key=lambda one: one["name"] != "bench1")
    assert (added["address"], added["nodes_limit"], added["memory_limit_bytes"], added["state"]) == ("root@bench1", 3, 4 << 30, "drained")
    assert "root@bench1" in cli("host", "undrain", "bench1").stdout
    assert cli("host", "add", "bench1", "--address", "root@other", "--format", "json").parsed[0]["nodes_limit"] is None


def test_a_file_says_which_there_are(cli: Cli, tmp_path: Path) -> None:
    cli("host", "add", "old")
    (tmp_path / "hosts.toml").write_text('[hosts.new]\naddress = "root@new"\n')
    said = {one["name"]: one["state"] for one in cli("host", "apply", str(tmp_path / "hosts.toml"), "--format", "json").parsed}
    assert said == {"new": "up", "old": "drained", socket.gethostname(): "drained"}


@pytest.mark.parametrize(("words", "code", "told"), [
    (("host", "drain", "nowhere"), 4, "no such host"), (("host", "add", "a b"), 3, "DNS label"),
    (("host", "add", "a", "--memory", "3 parsecs"), 3, "memory"), (("host", "add", "a", "--nodes", "-1"), 3, "greater than or equal"),
    (("deploy", "pair.yml", "--host", "nowhere"), 4, "no such host")])
def test_what_is_wrong_is_named(cli: Cli, tmp_path: Path, words: tuple[str, ...], code: int, told: str) -> None:
    (tmp_path / "pair.yml").write_text("nodes: {a: {}, b: {}}")
    said = cli(*words)
    assert (said.returncode, told in said.stderr) == (code, True), said.stderr
    assert cli("instance", "ls", "--format", "json").parsed == []
