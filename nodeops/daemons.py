"""Wires and conductor: processes of an instance that outlive the session that started them, found again by their identity."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

from models.errors import HostProblem, NotFound
from models.protocol.host import DAEMONS, DaemonName, DaemonStatus
from nodeops import cgroups
from nodeops.control import short_path
from nodeops.identity import ProcessIdentity
from nodeops.journal import Journal, Process
from nodeops.layout import InstanceLayout
from nodeops.whole_file import write_whole

START_S = 30.0
LOG_TAIL_BYTES = 2000


def status(layout: InstanceLayout, daemon: DaemonName) -> DaemonStatus:
    identity = identity_of(layout, daemon)
    alive = identity is not None and identity.alive()
    return DaemonStatus(daemon=daemon, alive=alive, pid=identity.pid if alive and identity else None)


def missing(layout: InstanceLayout, wanted: Collection[str]) -> list[DaemonName]:
    """Those of them that do not run."""
    return [daemon for daemon in DAEMONS if daemon in wanted and not status(layout, daemon).alive]


def identity_of(layout: InstanceLayout, daemon: DaemonName) -> ProcessIdentity | None:
    try:
        return ProcessIdentity.model_validate_json(layout.daemon(daemon, "pid").read_bytes())
    except FileNotFoundError:
        return None


def begin(layout: InstanceLayout, daemon: DaemonName) -> ProcessIdentity:
    """Start it unless it runs. `await_ready` says when it answers. Its cgroup must be there; it is in it before it executes anything."""
    identity = identity_of(layout, daemon)
    if identity is not None and identity.alive():
        return identity
    layout.daemon(daemon, "sock").unlink(missing_ok=True)
    with cgroups.joining(cgroups.daemon_cgroup(layout.root.name, daemon)) as join, layout.daemon(daemon, "log").open("ab") as log:
        process = subprocess.Popen([sys.executable, "-m", f"nodeops.{daemon}", str(layout.root)], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log, cwd="/", start_new_session=True, preexec_fn=join)
    identity = ProcessIdentity.of(process.pid)
    write_whole(layout.daemon(daemon, "pid"), identity.model_dump_json().encode())
    Journal(layout.journal).made([Process(role=daemon, identity=identity)])
    return identity


def await_ready(layout: InstanceLayout, daemon: DaemonName, *, timeout_s: float = START_S) -> None:
    """Returns when its control socket accepts connections. Raises HostProblem with the end of its log if it died or takes too long."""
    path, deadline = layout.daemon(daemon, "sock"), time.monotonic() + timeout_s
    while not _accepts(path):
        if not status(layout, daemon).alive:
            raise HostProblem(f"the {daemon} ended: {_log_tail(layout, daemon)}", where=layout.root.name)
        if time.monotonic() > deadline:
            raise HostProblem(f"the {daemon} did not answer within {timeout_s:g} s: {_log_tail(layout, daemon)}", where=layout.root.name)
        time.sleep(0.005)


def stop(layout: InstanceLayout, daemon: DaemonName) -> None:
    """It is gone when this returns; nothing if it was."""
    identity = identity_of(layout, daemon)
    if identity is not None:
        identity.end()
        Journal(layout.journal).gone([Process(role=daemon)])


def socket_of(layout: InstanceLayout, daemon: DaemonName) -> Path:
    """Raises NotFound if the daemon does not run."""
    if not status(layout, daemon).alive:
        raise NotFound(f"the {daemon} of this instance does not run", where=layout.root.name, next="Restart it")
    return layout.daemon(daemon, "sock")


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            directory, name = short_path(path)
            try:
                probe.connect(name)
            finally:
                os.close(directory)
        except OSError:
            return False
    return True


def _log_tail(layout: InstanceLayout, daemon: DaemonName) -> str:
    log = layout.daemon(daemon, "log")
    text = log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip() if log.exists() else ""
    return text or "its log is empty"
