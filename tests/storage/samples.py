"""What the tests of the store put into it, and how they compare what comes back."""

from __future__ import annotations

import os
import random
import socket
import stat
from pathlib import Path

KEY = b"k" * 32  # that signs tokens
MINUTE_NS = 60 * 10**9


def make_tree(root: Path, seed: int = 0) -> Path:
    """Something of everything that a node may leave on its disk."""
    noise = random.Random(seed)
    root.mkdir()
    (root / "a/b/c").mkdir(parents=True)
    (root / "a/short").write_bytes(b"short\n")
    (root / "a/empty").write_bytes(b"")
    (root / "a/b/long").write_bytes(noise.randbytes(5_200_000))
    (root / "a/b/log").write_text("".join(f"{n} sequence {n * 7}\n" for n in range(30_000)))
    with (root / "a/sparse").open("wb") as file:
        file.truncate(50_000_000)
        file.seek(20_000_000)
        file.write(b"in the middle")
    os.link(root / "a/short", root / "a/b/linked")
    (root / os.fsdecode(b"not-utf8-\xff\xfe")).write_bytes(b"x")
    (root / "away").symlink_to("/etc/passwd")
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "fifo", 0o640)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "sock"))
    os.mknod(root / "deleted", stat.S_IFCHR, 0)
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    os.setxattr(root / "a/b", "trusted.overlay.opaque", b"y")
    os.setxattr(root / "a/short", "user.note", b"\0binary\xff")
    os.setxattr(root / "away", "trusted.of.link", b"1", follow_symlinks=False)
    (root / "a/short").chmod(0o4751)
    os.chown(root / "a/empty", 1234, 5678)
    for number, path in enumerate(sorted(root.rglob("*"), reverse=True)):
        os.utime(path, ns=(0, 1_600_000_000 * 10**9 + number * MINUTE_NS + 7), follow_symlinks=False)
    return root


def snapshot(root: Path) -> dict[str, tuple]:
    """All that must survive."""
    links: dict[int, str] = {}
    found = {}
    for path in [root, *sorted(root.rglob("*"))]:
        status = path.lstat()
        name = str(path.relative_to(root))
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else path.readlink() if path.is_symlink() else None
        xattrs = {key: os.getxattr(path, key, follow_symlinks=False) for key in os.listxattr(path, follow_symlinks=False)}
        first = links.setdefault(status.st_ino, name) if status.st_nlink > 1 and not path.is_dir() else ""
        found[name] = (status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns, status.st_rdev, content, xattrs, first)
    return found
