"""Named images of VMs, in the object store: made here, brought here, looked at, let go."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import AwareDatetime

from models.errors import Conflict, InvalidInput, NotFound
from models.manifest import TreePolicy
from models.protocol.control import Message
from models.settings import settings
from nodeops.vm import debian, machines
from nodeops.vm.image import DESCRIPTION, Description, Image
from storage.roots import PinnedRoot, RootKind
from storage.store import Store
from swapbed.privilege import require_root

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
POLICY = TreePolicy(times=False, owners=False, xattrs=False, links=False, images=("disk.qcow2",))
RESERVED = ("host",)


class KnownImage(Message):
    """One in the store. identity: of its content, as checkpoints name it. disk: whether it has one; else all is in RAM."""

    name: str
    identity: str
    root: str
    size_bytes: int
    disk: bool
    append: str
    created_at: AwareDatetime


def images() -> list[KnownImage]:
    store = Store.of()
    return [_known(store, root) for root in store.roots(RootKind.IMAGE)]


def image(name: str) -> KnownImage:
    """Raises NotFound."""
    store = Store.of()
    return _known(store, _root(store, name))


def create(name: str) -> KnownImage:
    """One of those that Swapbed knows how to make. Made anew if there is one of this name. Raises InvalidInput, HostProblem."""
    if name not in MAKERS:
        raise InvalidInput(f"nobody knows how to make an image '{name}'", next=f"Known are {', '.join(MAKERS)}; others are imported")
    require_root()
    with _workplace() as directory:
        MAKERS[name](directory)
        return _keep(name, directory)


def import_(name: str, *, disk: Path | None = None, kernel: Path | None = None, initramfs: Path | None = None, append: str = "",
            replace: bool = False) -> KnownImage:
    """disk: anything that qemu-img reads; without a kernel of its own it is booted by `tiny`'s, which mounts an ext4 root file system
    on the disk or its first partition. A kernel needs an initramfs, whose init starts `/swapbed/init` as docs/nodes.md says.

    Raises InvalidInput, NotFound, Conflict for a name that is taken.
    """
    require_root()
    if not NAME.fullmatch(name) or name in RESERVED:
        raise InvalidInput(f"'{name}' is not a usable name for an image")
    if disk is None and kernel is None or (kernel is None) != (initramfs is None):
        raise InvalidInput("an image is a disk, or a kernel with its initramfs, or all three", where=name)
    for path in (disk, kernel, initramfs):
        if path is not None and not path.is_file():
            raise NotFound("no such file", where=str(path))
    if not replace and any(root.name == name for root in Store.of().roots(RootKind.IMAGE)):
        raise Conflict(f"there is an image '{name}'", next="Choose another name, or say --replace")
    with _workplace() as directory:
        tiny = machines.tiny() if kernel is None else None
        shutil.copyfile(kernel or tiny.kernel, directory / "kernel")  # type: ignore[union-attr]
        shutil.copyfile(initramfs or tiny.initramfs, directory / "initramfs")  # type: ignore[union-attr]
        if disk is not None:
            _convert(disk, directory / "disk.qcow2")
        Image.describe(directory, append=append)
        return _keep(name, directory)


def remove(name: str) -> None:
    """Instances that have it keep it; what nothing else needs is freed by the next collection. Raises NotFound."""
    store = Store.of()
    _root(store, name)
    store.unpin(RootKind.IMAGE, name)


def _tiny(directory: Path) -> None:
    image = machines.tiny()
    for path in (image.kernel, image.initramfs):
        shutil.copyfile(path, directory / path.name)
    Image.describe(directory, append=image.append)


def _debian(directory: Path) -> None:
    debian.build(directory, machines.tiny())


MAKERS: dict[str, Callable[[Path], None]] = {"tiny": _tiny, "debian": _debian}


def _convert(disk: Path, target: Path) -> None:
    """A disk that names other files would be read with root's rights from wherever it says."""
    said = subprocess.run(["qemu-img", "info", str(disk)], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if said.returncode:
        raise InvalidInput(f"this is no disk: {said.stderr.strip()[-300:]}", where=str(disk))
    if any(line.startswith(("backing file", "    data file:", "    extents:")) for line in said.stdout.splitlines()):
        raise InvalidInput("the disk is only part of one: it names another file", where=str(disk), next="qemu-img convert makes it whole")
    done = subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(disk), str(target)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    if done.returncode:
        raise InvalidInput(f"the disk cannot be converted: {done.stderr.strip()[-300:]}", where=str(disk))


@contextmanager
def _workplace() -> Iterator[Path]:
    settings().state_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="image-", dir=settings().state_dir) as directory:
        yield Path(directory)


def _keep(name: str, directory: Path) -> KnownImage:
    with Store.of() as store:
        stored = store.store_tree(directory, POLICY)
        return _known(store, store.pin(RootKind.IMAGE, name, stored.manifest))


def _root(store: Store, name: str) -> PinnedRoot:
    for root in store.roots(RootKind.IMAGE):
        if root.name == name:
            return root
    raise NotFound(f"there is no image '{name}'", next="See `swapbed image ls`")


def _known(store: Store, root: PinnedRoot) -> KnownImage:
    said = Description.model_validate_json(store.read_file(root.manifest, DESCRIPTION))
    disk = any(file.path == "disk.qcow2" for file in store.list_tree(root.manifest))
    return KnownImage(name=root.name, identity=said.identity, root=root.manifest.hash, size_bytes=root.manifest.size_bytes, disk=disk,
                      append=said.append, created_at=root.created_at)
