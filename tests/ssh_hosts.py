"""Hosts that are reached over SSH: a server of the tests' own on loopback, and for each host another Swapbed behind it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_S = 15


@contextmanager
def ssh_hosts(keys: Path, **state_dirs: Path) -> Iterator[Path]:
    """Their names are destinations for the `ssh` in `keys/bin`, which is to come first in PATH; `keys/NAME.python` is a host's
    interpreter, which knows the host's state directory.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    Path("/run/sshd").mkdir(exist_ok=True)
    (keys / "sshd").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized\nPidFile none\nStrictModes no\n"
        "UsePAM no\nPermitRootLogin prohibit-password\nPrintMotd no\n")
    (keys / "ssh").write_text(
        f"Host {' '.join(state_dirs)}\nHostName 127.0.0.1\nPort {port}\nUser root\nIdentityFile {keys}/user\n"
        f"UserKnownHostsFile {keys}/known\nStrictHostKeyChecking accept-new\nLogLevel ERROR\n")
    _script(keys / "bin" / "ssh", f'exec {shutil.which("ssh")} -F {keys}/ssh "$@"')
    for name, state_dir in state_dirs.items():
        _script(keys / f"{name}.python", f"export SWAPBED_STATE_DIR={state_dir} SWAPBED_CONFIG=/nonexistent/swapbed.toml "
                                         f"PYTHONPATH={Path(__file__).parents[1]}\nexec {sys.executable} \"$@\"")
    server = subprocess.Popen([shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", keys / "sshd"], stderr=subprocess.DEVNULL)
    try:
        _await(port)
        yield keys / "bin"
    finally:
        server.terminate()
        server.wait()


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _await(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        assert time.monotonic() < deadline, "sshd does not answer"
        time.sleep(0.02)


def first_in_path(directory: Path) -> str:
    return f"{directory}{os.pathsep}{os.environ['PATH']}"
