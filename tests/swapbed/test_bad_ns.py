"""Ns programs that must not get anywhere, through the command line: file, line and cause, and nothing is left of them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from models.errors import InvalidInput
from tests.swapbed.conftest import Cli

pytestmark = pytest.mark.usefixtures("state_dir")
NODES = "set a [$ns node]\nset b [$ns node]\nset l [$ns duplex-link $a $b 10Mb 20ms DropTail]\n"  # lines 3 to 5
BAD = {
    "an endless loop": ("while {1} {\n incr i\n}", 7, "did not end within"),
    "deep recursion": ("proc f n {\n f [expr {$n + 1}]\n}\nf 0", 7, "too many nested evaluations"),
    "100 MB strings": ("set x [string repeat x 100000000]", 6, "memory"),
    "a string that grows": ("set x abcdefgh\nwhile 1 {\n set x $x$x\n}", 8, "more memory than"),
    "exec": ("exec touch /tmp/escaped", 6, "cannot run programs|exec"),
    "open": ("set f [open /etc/passwd]", 6, "open"), "a pipe": ("open |id", 6, "open"),
    "socket": ("socket 127.0.0.1 22", 6, "socket"), "interp": ("interp create x", 6, "interp"),
    "interp by another name": ("rename interp i\ni create x", 7, "interp"),
    "the hidden commands": ("interp invokehidden {} exec id", 6, "interp"),
    "source of a file": ("source /etc/passwd", 6, "passwd"), "load": ("load /lib/libc.so.6", 6, "load"),
    "encoding": ("encoding system utf-16", 6, "encoding"), "waiting": ("after 100000", 6, "wait"),
    "the environment": ("set x $env(HOME)", 6, "env"),
    "an event on what does not exist": ('$ns at 1 "$nobody start"', 6, "nobody"),
    "of what is no object": ('$ns at 1 "nobody start"', 6, "nobody"),
    "a negative time": ('$ns at -1 "$l down"', 6, "negative"), "an unknown unit": ("tb-set-node-lan-delay $a $l 5parsec", 6, "parsec|LAN"),
    "an unknown unit of a rate": ("$ns duplex-link $a $b 10MB 1ms DropTail", 6, "10MB"),
    "an address out of range": ("tb-set-ip $a 10.0.0.256", 6, "10.0.0.256"),
    "a broadcast address": ("tb-set-ip-link $a $l 10.0.0.255", 6, "10.0.0.255"),
    "a mask out of range": ("tb-set-netmask $l 255.255.255.255", 6, "255.255.255.255"),
    "an unknown command": ("tb-set-node-sotrtcmd $a ls", 6, "tb-set-node-startcmd"), "Tcl's own": ("set x $nothing", 6, "no such variable"),
}


def children() -> list[str]:
    """Processes that this one began and that are there still."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


LONG = ("an endless loop", "a string that grows")  # seconds, so once is enough


@pytest.mark.parametrize(("verb", "what"), [*(("validate", what) for what in BAD), *(("deploy", what) for what in BAD if what not in LONG)])
def test_refused_with_file_line_and_cause(cli: Cli, what: str, verb: str) -> None:
    body, line, cause = BAD[what]
    Path("bad.ns").write_text(f"source tb_compat.tcl\nset ns [new Simulator]\n{NODES}{body}\n$ns run\n")
    before = children()
    said = cli(verb, "bad.ns")
    assert said.returncode == InvalidInput.exit_code and said.stdout == "", said
    assert f"where: bad.ns:{line}\n" in said.stderr, said.stderr
    assert any(each in said.stderr for each in cause.split("|")), said.stderr
    assert children() == before and not Path("/tmp/escaped").exists()


@pytest.mark.parametrize(("content", "where", "cause"), [
    (b"set ns [new Simulator]\n$ns node\n", "bad.ns:2", "no `$ns run`"), (b"", "bad.ns", "no simulator"),
    (b"set ns [new Simulator]\nset x \xff\xfe\n$ns run\n", "bad.ns:2", "not UTF-8"),
    (b"set ns [new Simulator]\n\0\n$ns run\n", "bad.ns:2", "NUL"),
    (b"set ns [new Simulator]\nset x {\n$ns run\n", "bad.ns:2", "missing close-brace"),
])
def test_files_that_are_no_whole_programs(cli: Cli, content: bytes, where: str, cause: str) -> None:
    Path("bad.ns").write_bytes(content)
    for verb in ("validate", "deploy"):
        said = cli(verb, "bad.ns")
        assert said.returncode == InvalidInput.exit_code and where in said.stderr and cause in said.stderr, said.stderr


def test_a_thousand_nodes_in_a_loop_are_soon_valid(cli: Cli) -> None:
    loop = "for {set i 0} {$i < 1000} {incr i} {\n set n($i) [$ns node]\n append all \"$n($i) \"\n}\nset lan [$ns make-lan $all 1Gb 0ms]\n"
    Path("many.ns").write_text(f"set ns [new Simulator]\n{loop}$ns rtproto Static\n$ns run\n")
    begun = time.process_time() + sum(os.times()[2:4])
    said = cli("validate", "many.ns")
    assert said.returncode == 0 and "1000 nodes" in said.stdout, said
    assert time.process_time() + sum(os.times()[2:4]) - begun < 5
