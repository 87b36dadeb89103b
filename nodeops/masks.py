"""What a node with base `host` must not see of its host, and what it finds there instead.

Masks are part of the overlay's lower layers, whiteouts and opaque directories (Linux, Documentation/filesystems/overlayfs.rst),
not mounts over something: there is nothing beneath that could come to light. A node may put files of its own in their place.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlparse

from models.settings import Settings

ALWAYS = (Path("/run"), Path("/tmp"), Path("/var/tmp"), Path("/dev"), Path("/proc"), Path("/sys"))


@dataclass(frozen=True)
class Mask:
    """path: absolute, without symlinks. empty: a directory of the same owner and mode with nothing in it; absent: no such thing."""

    path: Path
    how: Literal["empty", "absent"]


def hidden_paths(settings: Settings) -> list[Path]:
    """Everything that is nobody's business in a node: Swapbed's own state, and what the settings name."""
    paths = [*ALWAYS, settings.state_dir, *settings.masked_paths]
    for url, schemes in ((settings.effective_database_url, ("sqlite",)), (settings.effective_store_url, ("file",))):
        parsed = urlparse(url)
        if parsed.scheme in schemes and parsed.path:
            path = Path(parsed.path.removeprefix("/") if parsed.scheme == "sqlite" else parsed.path)
            paths += [path.absolute(), *(path.absolute().with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))]
    if "SWAPBED_CONFIG" in os.environ:
        paths.append(Path(os.environ["SWAPBED_CONFIG"]).absolute())
    return paths


def masks(paths: Iterable[Path]) -> list[Mask]:
    """Masks for paths of this host, none inside another. What does not exist yet is masked, too, and so is where a symlink leads."""
    found: dict[Path, Mask] = {}
    for path in sorted({_first_missing(Path(os.path.realpath(path))) for path in paths}):
        if not any(parent in found for parent in path.parents):
            found[path] = Mask(path, "empty" if path.is_dir() else "absent")
    return list(found.values())


def _first_missing(path: Path) -> Path:
    """path if its parent exists, else the first of its parents that does not."""
    while not path.parent.is_dir():
        path = path.parent
    return path


def password_files(etc: Path) -> dict[str, bytes]:
    """shadow and gshadow in which every account is there, so that sudo and su work, and none has a password."""
    files = {}
    for name, source, line in (("shadow", "passwd", b"%s:*:19000:0:99999:7:::\n"), ("gshadow", "group", b"%s:*::\n")):
        if (etc / source).is_file():
            accounts = (text.partition(b":")[0] for text in (etc / source).read_bytes().splitlines())
            files[name] = b"".join(line % account for account in accounts if account)
    return files


def proc_read_only() -> tuple[str, ...]:
    """What of /proc a node's root could use to change its host: whatever is writable there, and every directory of settings.

    Computed from this host's own /proc, so that what a newer kernel adds is in it. Processes' own directories stay as they are.
    """
    own = {"self", "thread-self", "net", "mounts", "tty", "driver", "sysvipc", "pressure"}
    paths = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() or entry.name in own or entry.is_symlink():
            continue
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) or mode & 0o222:
            paths.append(f"/proc/{entry.name}")
    return tuple(sorted(paths))
