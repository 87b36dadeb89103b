"""Who does this, and whether they may."""

from __future__ import annotations

import getpass
import os

from models.errors import HostProblem


def require_root() -> None:
    if os.geteuid() != 0:
        raise HostProblem("namespaces, mounts and Swapbed's state are root's", next="Run it with sudo.")


def user() -> str:
    """For the rows that say who did something: the person behind sudo."""
    return os.environ.get("SUDO_USER") or getpass.getuser()
