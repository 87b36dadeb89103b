"""Redirections as Emulab's users write them, for its csh: what reaches /bin/sh means the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nodeops.conductor.redirections import in_sh

BOTH = "(echo out; echo err 1>&2)"


@pytest.mark.parametrize(("command", "file", "content"), [
    (f"{BOTH} >& log", "log", "out\nerr\n"),
    (f"{BOTH}>&log; {BOTH} >>& log", "log", "out\nerr\nout\nerr\n"),
    (f"({BOTH} > first) >& second", "second", "err\n"),
    (f"{BOTH} >& $DIR/log", "log", "out\nerr\n"),
    (f"{BOTH} >& $FILE", "log", "out\nerr\n"),
    (f"{BOTH} >&! 'a log'", "a log", "out\nerr\n"),
    (f"{BOTH} |& cat > log", "log", "out\nerr\n"),
    ("echo 'x >& y' |& cat >& log & wait", "log", "x >& y\n"),
    ("# isn't it\necho 'it >& is' >& log", "log", "it >& is\n"),
])
def test_both_outputs_go_where_csh_sends_them(command: str, file: str, content: str, tmp_path: Path) -> None:
    environment = {"DIR": str(tmp_path), "FILE": "log", "PATH": "/bin:/usr/bin"}
    done = subprocess.run(["/bin/sh", "-c", in_sh(command)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / file).read_text() == content


@pytest.mark.parametrize("command", [
    "",
    "a > log 2>&1",
    "a >&2; b >& 2; c 1>&-",
    "exec 3>&$fd; a >&$fd; b >&${fd}",
    "sh -c 'a >& b' \"c >& d\" e\\>& f",
    "a || b && c & d",
    "cat <<end\na >& b\nend",
    "# a >& b",
])
def test_what_sh_understands_stays(command: str) -> None:
    assert in_sh(command) == command
