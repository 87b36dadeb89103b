"""What a VM boots, as a directory: `image.json`, `kernel`, `initramfs`, and, unless all is in RAM, `disk.qcow2`. Nobody writes to one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from blake3 import blake3
from pydantic import ValidationError

from models.errors import Corrupt, HostProblem, InvalidInput
from models.protocol.control import Message
from nodeops.whole_file import write_whole

DESCRIPTION = "image.json"
PIECE_BYTES = 1 << 22


class Description(Message):
    """image.json. identity: of the files together, wherever they are. append: more of the kernel's command line.

    made_for: what tells an image that is made here whether it has to be made again.
    """

    format: int = 1
    identity: str
    append: str = ""
    made_for: str = ""


class Image(Message):
    """Paths on this host."""

    kernel: Path
    initramfs: Path
    disk: Path | None = None
    append: str = ""
    identity: str
    made_for: str = ""

    @staticmethod
    def read(directory: Path) -> Image | None:
        """None: there is no image in it. Raises Corrupt for one that lacks something."""
        try:
            said = Description.model_validate_json((directory / DESCRIPTION).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValidationError as error:
            raise Corrupt("the image's description cannot be read", where=str(directory / DESCRIPTION)) from error
        disk = directory / "disk.qcow2"
        image = Image(kernel=directory / "kernel", initramfs=directory / "initramfs", disk=disk if disk.exists() else None,
                      append=said.append, identity=said.identity, made_for=said.made_for)
        for path in (image.kernel, image.initramfs):
            if not path.exists():
                raise Corrupt("the image lacks this file", where=str(path))
        return image

    @staticmethod
    def describe(directory: Path, *, append: str = "", made_for: str = "") -> Image:
        """Make the files in directory an image. Raises InvalidInput for a disk that is none."""
        digest = blake3(append.encode())
        for name in ("kernel", "initramfs", "disk.qcow2"):
            if (directory / name).exists():
                digest.update(f"\0{name}\0{(directory / name).stat().st_size}\0".encode())
                _feed(digest, directory / name)
        if (directory / "disk.qcow2").exists():
            check_disk(directory / "disk.qcow2")
        write_whole(directory / DESCRIPTION, Description(identity=digest.hexdigest(), append=append, made_for=made_for)
                    .model_dump_json().encode())
        image = Image.read(directory)
        assert image is not None
        return image


def check_disk(path: Path) -> None:
    """A backing file would be read from wherever the image says, as root: an image that names one is refused. Raises InvalidInput."""
    done = subprocess.run(["qemu-img", "info", "-f", "qcow2", str(path)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise InvalidInput(f"this is no disk: {done.stderr.strip()[-300:]}", where=str(path))
    if any(line.startswith(("backing file", "    data file:")) for line in done.stdout.splitlines()):
        raise InvalidInput("the disk is only part of one: it names another file", where=str(path), next="qemu-img convert makes it whole")


def make_overlay(target: Path, disk: Path) -> None:
    """A new qcow2 file over an image's disk. It does not say where that is: QEMU is told each time it starts."""
    said = json.loads(_qemu_img("info", "--output=json", "-f", "qcow2", str(disk)))
    _qemu_img("create", "-q", "-f", "qcow2", str(target), str(said["virtual-size"]))


def _qemu_img(*words: str) -> str:
    done = subprocess.run(["qemu-img", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise HostProblem(f"qemu-img failed: {done.stderr.strip()[-300:]}", where=words[-1])
    return done.stdout


def _feed(digest: blake3, path: Path) -> None:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
