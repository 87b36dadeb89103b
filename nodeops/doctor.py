"""What this host can and cannot do, as data."""

from __future__ import annotations

import os

from models.protocol.host import Check, DoctorReport


def examine() -> DoctorReport:
    return DoctorReport(checks=(_root(),))


def _root() -> Check:
    if os.geteuid() == 0:
        return Check(name="root", status="ok", what="runs as root")
    return Check(name="root", status="fail", what="not root: neither namespaces nor mounts can be made", next="Run as root")
