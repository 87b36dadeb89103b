"""Images of VMs in the store: made, imported, listed, let go; and one with a disk boots."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from models.errors import Conflict, InvalidInput, NotFound
from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.spec import Node, Spec
from nodeops.instance import layout_of
from nodeops.session import HostSession
from nodeops.vm import machines
from swapbed import images
from tasks.vm_images import images_of
from tests.nodeops.instances import assert_nothing_left, run


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An ext4 root file system with nothing but busybox in it."""
    root = tmp_path / "root"
    for name in ("bin", "etc", "root", "lib"):
        (root / name).mkdir(parents=True)
    shutil.copy2(shutil.which("busybox") or "", root / "bin" / "busybox")
    for name in ("sh", "cat", "mount", "sync"):
        (root / "bin" / name).symlink_to("busybox")
    (root / "etc" / "passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "on-the-disk").write_text("from the image")
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(root), str(tmp_path / "disk.raw"), "32M"], check=True)
    return tmp_path / "disk.raw"


@pytest.mark.timeout(150)
def test_an_imported_disk_boots_and_keeps_what_its_node_wrote(state_dir: Path, disk: Path) -> None:
    made = images.import_("small", disk=disk)
    assert made.disk and [each.name for each in images.images()] == ["small"]
    spec = Spec(nodes=(Node(name="d", kind="vm", image="small", memory_bytes=96 << 20),))
    where = images_of("default", spec)
    layout = layout_of("i-imagetest")
    with HostSession() as session:
        try:
            session.do("create", Create(instance="i-imagetest", name="x", spec=spec, images=where, daemons=()), InstanceStatus)
            assert run(layout, "d", "cat /on-the-disk; echo more > /root/file; sync").stdout == b"from the image"
            assert b"/dev/vda" in run(layout, "d", "mount").stdout
            assert machines.machine_of(layout.node("d")).identity == made.identity
        finally:
            session.call("destroy", ChangeInstance(instance="i-imagetest", fence=1 << 40))
    assert_nothing_left(layout)


def test_bad_images_are_refused_by_name(state_dir: Path, disk: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nobody knows how"):
        images.create("gentoo")
    with pytest.raises(InvalidInput, match="kernel with its initramfs"):
        images.import_("x", kernel=disk)
    with pytest.raises(InvalidInput, match="not a usable name"):
        images.import_("host", disk=disk)
    with pytest.raises(NotFound, match="no such file"):
        images.import_("x", disk=tmp_path / "nothing")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(disk), "-F", "raw", str(tmp_path / "part")], check=True)
    with pytest.raises(InvalidInput, match="names another file"):
        images.import_("x", disk=tmp_path / "part")
    images.create("tiny")
    with pytest.raises(Conflict, match="there is an image"):
        images.import_("tiny", disk=disk)
    images.remove("tiny")
    with pytest.raises(NotFound):
        images.image("tiny")
