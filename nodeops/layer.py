"""What lies under a node's own changes and over its base: masks, devices, init, the wall clock, the way to the datastore; and its own
few files.

A tmpfs of about a megabyte, mounted where only nodes see it and gone with the last of them: overlayfs refuses a lower layer that
lies inside another (`/`), so it cannot be a directory beside the instance's files. The datastore is large, so it is not copied:
where it lies inside the base, a redirect leads to it (overlayfs.rst, "redirect_dir"); else it is a layer of its own.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.errors import HostProblem
from nodeops.layout import INSIDE, InstanceLayout
from nodeops.linux import mount, private_mounts
from nodeops.masks import Mask, password_files
from nodeops.wall import LIBRARY, file_of

BINARY = Path(__file__).parent / "init" / "swapbed-init"
OPAQUE, REDIRECT = "trusted.overlay.opaque", "trusted.overlay.redirect"
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0), "net/tun": (10, 200)}
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx"}
DIRECTORIES = {"dev/net": 0o755, "dev/pts": 0o755, "dev/shm": 0o1777, "proc": 0o555, "sys": 0o555, "run/lock": 0o1777, "tmp": 0o1777,
               "var/tmp": 0o1777, "swapbed/run": 0o755, "swapbed/bin": 0o755, "swapbed/logs": 0o755, "swapbed/archive": 0o1777,
               "swapbed/datastore": 0o755}
PROGRAMS = {"swapbed/init": BINARY, "swapbed/wall.so": LIBRARY}  # path relative to `/` → what is built here
CALLINGS = ("swapbed-event", "tevc", "template_record", "record-events")  # of init's binary, by its name: see nodeops/init/main.c


@dataclass(frozen=True)
class Layers:
    """Lower layers, topmost first. own: where each node's own files are; mount_point: an empty directory for their roots."""

    mount_point: Path
    own: Path
    shared: tuple[Path, ...]

    def of(self, node: str) -> tuple[Path, ...]:
        return (self.own / node, *self.shared)


@contextmanager
def mounted(layout: InstanceLayout, base: Path, masks: Iterable[Mask], files: Mapping[str, Mapping[str, bytes]],
            wall_shift_ns: int) -> Iterator[Layers]:
    """Within, this thread has a mount namespace of its own with the layers in it.

    base: the root file system that the nodes see, `/` or an image's directory. files: node → path relative to `/` → content; one of
    PROGRAMS goes before what is built here. wall_shift_ns: see `nodeops.wall`. Raises HostProblem.
    """
    for built in PROGRAMS.values():
        if not built.exists():
            raise HostProblem(f"the nodes' {built.name} has not been built", where=str(built), next=f"make -C nodeops/{built.parent.name}")
    with private_mounts():
        common, own, mount_point = layout.layer / "common", layout.layer / "own", layout.layer / "root"
        try:
            mount("tmpfs", layout.layer, "tmpfs", options="mode=0755")
            common.mkdir()
            mount_point.mkdir()
            _fill(common, base, list(masks))
            (common / INSIDE.name / "wall").write_bytes(file_of(wall_shift_ns))
            (common / INSIDE.name / "wall").chmod(0o444)
            _fill_own(own, base, files)
            inside = _path_inside(layout.datastore, base)
            if inside is not None:
                os.setxattr(common / "swapbed/datastore", REDIRECT, os.fsencode(inside))
        except OSError as error:
            raise HostProblem(f"cannot make the nodes' lower layers: {error.strerror}",
                              where=error.filename or str(layout.layer)) from error
        yield Layers(mount_point, own, (*([layout.shared] if inside is None else []), common, base))


def _fill_own(own: Path, base: Path, files: Mapping[str, Mapping[str, bytes]]) -> None:
    """Files of equal content are one file: a thousand nodes' lists of a thousand names would be a gigabyte."""
    own.mkdir()
    written: dict[bytes, Path] = {}
    for node, contents in files.items():
        (own / node).mkdir()
        for name, content in contents.items():
            path = own / node / name
            _make_parents(own / node, base, Path("/") / name)
            if content in written:
                path.hardlink_to(written[content])
            else:
                path.write_bytes(content)
                if name in PROGRAMS:
                    path.chmod(0o755)
                written[content] = path


def _fill(layer: Path, base: Path, masks: list[Mask]) -> None:
    for mask in masks:
        _make_parents(layer, base, mask.path)
        if mask.how == "absent":
            os.mknod(layer / mask.path.relative_to("/"), stat.S_IFCHR, 0)
        else:
            _make_directory(layer, base, mask.path)
            os.setxattr(layer / mask.path.relative_to("/"), OPAQUE, b"y")
    for name, mode in DIRECTORIES.items():
        _make_parents(layer, base, Path("/") / name)
        (layer / name).mkdir(exist_ok=True)
        (layer / name).chmod(mode)
    for own in ("dev", "swapbed"):
        os.setxattr(layer / own, OPAQUE, b"y")
    for name, (major, minor) in DEVICES.items():
        os.mknod(layer / "dev" / name, stat.S_IFCHR, os.makedev(major, minor))
        (layer / "dev" / name).chmod(0o666)
    for name, target in LINKS.items():
        (layer / "dev" / name).symlink_to(target)
    for name, built in PROGRAMS.items():
        shutil.copyfile(built, layer / name)
        (layer / name).chmod(0o755)
    for name in CALLINGS:
        (layer / INSIDE.name / "bin" / name).symlink_to("../init")
    _replace_passwords(layer, base, masks)


def _replace_passwords(layer: Path, base: Path, masks: list[Mask]) -> None:
    hidden = {mask.path for mask in masks}
    for name, content in password_files(base / "etc").items():
        path = Path("/etc") / name
        if path in hidden:
            (layer / path.relative_to("/")).unlink()
            (layer / path.relative_to("/")).write_bytes(content)
            (layer / path.relative_to("/")).chmod(0o640)


def _make_parents(layer: Path, base: Path, path: Path) -> None:
    for parent in reversed(path.parents[:-1]):
        _make_directory(layer, base, parent)


def _make_directory(layer: Path, base: Path, path: Path) -> None:
    """A directory of an upper layer decides over owner and mode of the merged one, so it gets the base's."""
    target = layer / path.relative_to("/")
    if target.is_dir():
        return
    target.mkdir()
    try:
        like = (base / path.relative_to("/")).stat()
    except OSError:
        return
    os.chown(target, like.st_uid, like.st_gid)
    target.chmod(stat.S_IMODE(like.st_mode))


def _path_inside(path: Path, base: Path) -> Path | None:
    """path as seen from base, if both lie on the same mount; `/` in front, as a redirect wants it."""
    real, top = Path(os.path.realpath(path)), Path(os.path.realpath(base))
    if not real.is_relative_to(top) or _mount_id(real) != _mount_id(top):
        return None
    return Path("/") / real.relative_to(top)


def _mount_id(path: Path) -> int:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        fields = dict(line.split(":\t", 1) for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines())
    finally:
        os.close(fd)
    return int(fields["mnt_id"])
