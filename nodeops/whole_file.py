"""Files that are only ever replaced whole."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Either the old content or the new is there at any time, also after a crash of the host, and with others that write the same."""
    beside = path.with_name(f"{path.name}.{threading.get_native_id()}.new")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
