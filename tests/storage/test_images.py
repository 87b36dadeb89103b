"""Images: cut where pages are, so that like images share; what is known not to have changed is not read again."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import Conflict, InvalidInput, NotFound
from models.manifest import TreePolicy
from storage import content, images
from storage.direct import DirectSink
from storage.images import Previous, store_image, write_image
from storage.ingest import Ingest
from storage.store import Store

MIB = 1 << 20


def make_image(path: Path, *pieces: tuple[int, bytes], size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
    return path


def test_an_image_comes_back_with_its_holes(any_store: Store, tmp_path: Path) -> None:
    size = 100 * MIB + 77
    image = make_image(tmp_path / "image", (0, os.urandom(2 * MIB)), (40 * MIB + 5, b"in the middle"), (99 * MIB, bytes(MIB)), size=size)
    stored = any_store.store_image(image)
    assert stored.manifest.size_bytes == size
    assert stored.counts.new_bytes < 2.2 * MIB
    any_store.restore_image(stored.manifest, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == image.read_bytes()
    assert (tmp_path / "again").stat().st_blocks * 512 < 3 * MIB


@pytest.mark.parametrize("size", [0, 1, 4096, 16384, 16385, 16 * MIB, 16 * MIB + 1])
def test_sizes_at_the_borders(store: Store, tmp_path: Path, size: int) -> None:
    for number, data in enumerate((os.urandom(size), bytes(size))):
        (tmp_path / f"image-{number}").write_bytes(data)
        stored = store.store_image(tmp_path / f"image-{number}")
        store.restore_image(stored.manifest, tmp_path / f"again-{number}")
        assert (tmp_path / f"again-{number}").read_bytes() == data


def test_like_images_share_their_pages_wherever_they_lie(store: Store, tmp_path: Path) -> None:
    pages = [os.urandom(16384) for _ in range(200)]
    (tmp_path / "one").write_bytes(b"".join(pages))
    random.Random(1).shuffle(pages)
    (tmp_path / "two").write_bytes(b"".join(pages))
    assert store.store_image(tmp_path / "one").counts.new_chunks == 201  # and the manifest's own node
    assert store.store_image(tmp_path / "two").counts.new_chunks == 1


def test_only_what_changed_is_read_again(store: Store, tmp_path: Path) -> None:
    image = make_image(tmp_path / "image", (0, os.urandom(70 * MIB)), size=70 * MIB)
    first = store.store_image(image)
    with image.open("r+b") as file:
        file.seek(33 * MIB)
        file.write(os.urandom(5000))
    previous = Previous(store.source(first.manifest), first.manifest, [(33 * MIB, 5000)])
    second = store.store_image(image, previous)
    assert second.counts.read_bytes == 16 * MIB and second.counts.new_bytes < 0.1 * MIB
    assert store.store_image(image).hash == second.hash
    store.restore_image(second.manifest, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == image.read_bytes()


@given(st.lists(st.tuples(st.integers(0, 95), st.integers(1, 20), st.integers(0, 2)), max_size=5),
       st.lists(st.tuples(st.integers(0, 95), st.integers(1, 20), st.integers(0, 2)), max_size=3))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reusing_gives_the_hash_that_reading_all_gives(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list,
                                                       after: list) -> None:
    for module in (content, images):
        monkeypatch.setattr(module, "SEGMENT_BYTES", 10 * 16384)
    unit, size = 16384, 100 * 16384
    data = bytearray(size)
    for offset, length, seed in before:
        data[offset * unit:min(size, (offset + length) * unit)] = random.Random(seed).randbytes(min(length, 100 - offset) * unit)
    (tmp_path / "image").write_bytes(data)
    first = store.store_image(tmp_path / "image")
    for offset, length, seed in after:
        data[offset * unit:min(size, (offset + length) * unit)] = random.Random(seed + 7).randbytes(min(length, 100 - offset) * unit)
    (tmp_path / "image").write_bytes(data)
    changed = [(offset * unit, length * unit) for offset, length, _ in after]
    second = store.store_image(tmp_path / "image", Previous(store.source(first.manifest), first.manifest, changed))
    assert second.hash == store.store_image(tmp_path / "image").hash


def test_files_of_a_tree_that_are_images_are_cut_as_images(store: Store, tmp_path: Path) -> None:
    pages = os.urandom(5 * MIB)
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/pages-1.img").write_bytes(pages)
    (tmp_path / "tree/core.img").write_bytes(b"small")
    stored = store.store_tree(tmp_path / "tree", TreePolicy(images=("pages-*.img",)))
    (tmp_path / "alone").write_bytes(pages)
    assert store.store_image(tmp_path / "alone").counts.new_chunks == 0
    store.restore_tree(stored.manifest, tmp_path / "again")
    assert (tmp_path / "again/pages-1.img").read_bytes() == pages


def test_many_images_in_one_ingest(store: Store, tmp_path: Path) -> None:
    common = os.urandom(MIB)
    with DirectSink(store.catalog, store.objects) as sink:
        with Ingest(sink) as ingest:
            refs = {}
            for number in range(4):
                (tmp_path / str(number)).write_bytes(common + os.urandom(100_000))
                refs[f"node-{number}"] = write_image(ingest, tmp_path / str(number))
            counts = ingest.finish()
        for one in refs.values():
            sink.commit(one)
        assert counts.new_bytes < 1.6 * MIB
        collection = store.store_collection(refs, b"cut at 12.5 s")
    store_again = store.read_collection(collection)
    assert store_again.note == b"cut at 12.5 s" and store_again.members == refs
    with pytest.raises(InvalidInput):
        store.restore_image(collection, tmp_path / "out")


def test_an_image_that_is_not_there_or_would_be_overwritten(store: Store, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        store.store_image(tmp_path / "missing")
    (tmp_path / "image").write_bytes(b"x" * 5000)
    stored = store.store_image(tmp_path / "image")
    with pytest.raises(Conflict):
        store.restore_image(stored.manifest, tmp_path / "image")


def test_an_image_that_shrinks_meanwhile(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make_image(tmp_path / "image", (0, os.urandom(9 * MIB)), size=9 * MIB)
    real = os.pread

    def shrink(fd: int, size: int, offset: int) -> bytes:
        os.truncate(image, 5 * MIB)
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", shrink)
    with DirectSink(store.catalog, store.objects) as sink, pytest.raises(Conflict, match="shorter"):
        store_image(sink, image)
