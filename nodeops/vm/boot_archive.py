"""What one VM finds when it boots: the image's initramfs, and behind it an archive of the node's own files, network and datastore."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from nodeops.vm.cpio import Archive
from nodeops.vm.machine import PORTS

BOOT = "swapbed/boot"  # in the guest's initramfs; see nodeops/vm/tiny.py, which acts on it


def write(target: Path, initramfs: Path, files: Mapping[str, bytes], network: str, datastore: Path) -> None:
    """files: path relative to `/` → content, for whichever root the guest ends up with."""
    fresh = target.with_suffix(".new")
    with fresh.open("wb") as out:
        with initramfs.open("rb") as image:
            shutil.copyfileobj(image, out)
        archive = Archive(out)
        archive.directory("swapbed")
        archive.directory(BOOT)
        archive.file(f"{BOOT}/ports", f"{PORTS}\n".encode())
        archive.file(f"{BOOT}/network", network.encode())
        archive.directory(f"{BOOT}/root")
        archive.files({f"{BOOT}/root/{name}": content for name, content in files.items()})
        archive.tree("swapbed/datastore", datastore)
        archive.close()
    fresh.rename(target)
