"""A process that says who it is before it becomes the command it was started for.

As a shell, for a child that runs Python would be a copy of its parent, and making one takes longer than the shell and what it does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nodeops.identity import boot_id

SCRIPT = """
identity=$1 master=$2 boot=$3 before=$4; shift 4
fields() { parent=$2 start_ticks=${20}; }
look() { read -r stat < /proc/$$/stat && fields ${stat##*) }; }
look && echo "{\\"pid\\":$$,\\"start_ticks\\":$start_ticks,\\"boot\\":\\"$boot\\"}" > "$identity" || exit 1
look && [ "$parent" = "$master" ] || exit 1
eval "$before" || exit 1
exec "$@"
"""


def introduced(command: Sequence[str | Path], identity: Path, before: str = ":") -> list[str | Path]:
    """A command that becomes the given one, unless its parent has died meanwhile, which then knows nothing of it; else `identity` is there
    by then. before: what else the shell does first; if that fails, it becomes nothing."""
    return ["/bin/sh", "-c", SCRIPT, "sh", identity, str(os.getpid()), boot_id(), before, *command]
