"""The image `tiny` is built once, and what was found about KVM is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from models.errors import Corrupt, InvalidInput
from models.settings import settings
from nodeops.layer import BINARY
from nodeops.vm.accelerator import Probe, probe
from nodeops.vm.image import DESCRIPTION, Image, check_disk
from nodeops.vm.tiny import ready


@pytest.fixture(scope="module")
def image() -> Image:
    return ready(settings().cache_dir / "tiny", BINARY)


def test_what_was_found_about_kvm_is_kept_for_this_kernel(image: Image, tmp_path: Path) -> None:
    cache = tmp_path / "accelerator.json"
    found = probe(image, cache)
    assert found.accelerator in ("kvm", "tcg") and found.reason
    cache.write_text(found.model_copy(update={"reason": "as kept"}).model_dump_json())
    assert probe(image, cache).reason == "as kept"
    cache.write_text(Probe(kernel="another", qemu=found.qemu, accelerator="kvm", reason="").model_dump_json())
    assert probe(image, cache).accelerator == found.accelerator


def test_an_image_is_built_once_and_is_the_same_wherever_it_lies(image: Image, tmp_path: Path) -> None:
    for path in (image.kernel, image.initramfs, image.kernel.parent / DESCRIPTION):
        shutil.copy2(path, tmp_path / path.name)
    copied = ready(tmp_path, BINARY)
    assert (copied.kernel, copied.identity) == (tmp_path / "kernel", image.identity)
    assert Image.describe(tmp_path, made_for=image.made_for).identity == image.identity
    assert Image.describe(tmp_path, append="quiet").identity != image.identity


def test_what_is_no_image(tmp_path: Path) -> None:
    assert Image.read(tmp_path) is None
    (tmp_path / DESCRIPTION).write_text('{"identity": "x"}')
    with pytest.raises(Corrupt, match="lacks this file"):
        Image.read(tmp_path)
    (tmp_path / "disk").write_bytes(b"no qcow2")
    with pytest.raises(InvalidInput, match="no disk"):
        check_disk(tmp_path / "disk")
