"""Each rule that the proof in docs/storage.md stands on, in the one interleaving that breaks if it is broken.

The state machine of test_collecting.py rarely gets there by chance: of these rules it noticed two in a hundred random histories.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from models.database import reading, writing
from models.manifest import ManifestRef
from storage.collecting import collect
from storage.direct import DirectSink, node_of
from storage.roots import RootKind
from storage.store import Store


@pytest.fixture
def garbage(store: Store, tmp_path: Path) -> ManifestRef:
    """An image that was pinned once, so that its node is marked complete, and is no more."""
    (tmp_path / "image").write_bytes(os.urandom(200_000))
    manifest = store.store_image(tmp_path / "image").manifest
    store.pin(RootKind.IMAGE, "i", manifest)
    store.unpin(RootKind.IMAGE, "i")
    sql(store, "UPDATE transfer SET expires_s = 0")
    assert flags(store, manifest) == {(False, True)}
    return manifest


def sql(store: Store, statement: str, **values: object) -> None:
    with writing(store.catalog.on) as session:
        session.connection().execute(text(statement), values)


def flags(store: Store, manifest: ManifestRef) -> set[tuple[bool, bool]]:
    """condemned, complete: of the manifest's own node."""
    with reading(store.catalog.on) as session:
        found = session.connection().execute(text("SELECT condemned, complete FROM chunk WHERE hash = :name"),
                                             {"name": bytes.fromhex(manifest.hash)})
        return {(bool(condemned), bool(complete)) for condemned, complete in found}


def sweep(store: Store, at: str = "", do=lambda: None) -> None:
    """One collection, in which something happens just before that step."""
    collect(store.catalog.on, store.objects, holder="test", step=lambda name: do() if name == at else None)


def is_whole(store: Store, manifest: ManifestRef, tmp_path: Path) -> bool:
    target = tmp_path / f"again-{os.urandom(3).hex()}"
    store.restore_image(manifest, target)
    return target.read_bytes() == (tmp_path / "image").read_bytes()


def everything_below(store: Store, manifest: ManifestRef) -> list[bytes]:
    node = node_of(manifest)
    return [node[1], *(name for _, name in store.source(manifest).children([node]))]


def test_asking_rescues_what_is_then_not_freed(store: Store, garbage: ManifestRef, tmp_path: Path) -> None:
    """A transfer that began after the condemning holds nothing up: only that it asked keeps the chunks."""
    sweep(store)
    with DirectSink(store.catalog, store.objects) as sink:
        names = everything_below(store, garbage)
        assert sink.ask(names).unknown == set()
        sweep(store)
        sink.commit(garbage)
        store.pin(RootKind.IMAGE, "i", garbage)
    assert is_whole(store, garbage, tmp_path)


def test_pinning_between_marking_and_freeing_rescues_all_below(store: Store, garbage: ManifestRef, tmp_path: Path) -> None:
    """A rescued node is not complete: what lies below it is condemned, too, and has to be rescued by the same walk."""
    sweep(store)
    sweep(store, "free", lambda: store.pin(RootKind.IMAGE, "i", garbage))
    assert is_whole(store, garbage, tmp_path)


def test_a_node_that_somebody_else_rescued_is_not_believed_complete(store: Store, garbage: ManifestRef, tmp_path: Path) -> None:
    """One asks for the node alone; the next, who pins it, must look below it all the same."""
    sweep(store)

    def rescue_and_pin() -> None:
        with DirectSink(store.catalog, store.objects) as sink:
            sink.ask([bytes.fromhex(garbage.hash)])
        store.pin(RootKind.IMAGE, "i", garbage)

    sweep(store, "free", rescue_and_pin)
    assert is_whole(store, garbage, tmp_path)


def test_no_flag_is_believed_after_a_collector_died_while_condemning(store: Store, garbage: ManifestRef, tmp_path: Path) -> None:
    """It got as far as the children; their node still says that it is complete."""
    sql(store, "UPDATE chunk SET condemned = true WHERE hash != :name", name=bytes.fromhex(garbage.hash))
    sql(store, "UPDATE store SET epoch = epoch + 1, condemned_epoch = epoch + 2")
    sweep(store, "free", lambda: store.pin(RootKind.IMAGE, "i", garbage))
    assert is_whole(store, garbage, tmp_path)


def test_a_transfer_of_before_a_collector_died_is_waited_for(store: Store, garbage: ManifestRef, tmp_path: Path) -> None:
    """What the condemning will end at is written down when it begins."""
    with DirectSink(store.catalog, store.objects) as sink:
        sink.ask(everything_below(store, garbage))

        class Died(BaseException):
            pass

        def die() -> None:
            raise Died

        with pytest.raises(Died):
            sweep(store, "tidy", die)
        sql(store, "UPDATE store SET epoch = epoch - 1")  # as it was before the last step of condemning
        sql(store, "UPDATE lease SET expires_s = 0")
        sweep(store)
        sink.commit(garbage)
        store.pin(RootKind.IMAGE, "i", garbage)
    assert is_whole(store, garbage, tmp_path)


def test_a_walk_that_was_overtaken_by_a_condemning_marks_nothing_complete(store: Store, garbage: ManifestRef) -> None:
    name = bytes.fromhex(garbage.hash)
    sql(store, "UPDATE chunk SET complete = false")
    since = store.catalog.epoch()
    sql(store, "UPDATE store SET epoch = epoch + 2")
    store.catalog.mark_complete([name], since)
    assert flags(store, garbage) == {(False, False)}
    sql(store, "UPDATE store SET epoch = epoch + 1")
    store.catalog.mark_complete([name], store.catalog.epoch())
    assert flags(store, garbage) == {(False, False)}
    sql(store, "UPDATE store SET epoch = epoch + 1")
    store.catalog.mark_complete([name], store.catalog.epoch())
    assert flags(store, garbage) == {(False, True)}


def test_what_is_pardoned_is_not_complete_before_somebody_looked(store: Store, garbage: ManifestRef, tmp_path: Path) -> None:
    """A collector may die between pardoning a node and its children."""
    sweep(store)
    sql(store, "INSERT INTO root (id, project_id, kind, name, manifest, manifest_kind, size_bytes, files, created_at) "
               "VALUES ('root-x', :project, 'image', 'x', :manifest, 'flat', 0, 1, '2026-01-01')",
        project=store.catalog.project_id, manifest=garbage.hash)
    found: list[set[tuple[bool, bool]]] = []
    sweep(store, "free", lambda: found.append(flags(store, garbage)))
    assert found == [{(False, False)}]
    assert is_whole(store, garbage, tmp_path)


def test_what_was_pinned_since_the_condemning_is_marked_before_anything_is_freed(store: Store, garbage: ManifestRef,
                                                                                 tmp_path: Path) -> None:
    """Also where the pin came from a transfer that ended just before the collection looked for living ones."""
    with DirectSink(store.catalog, store.objects) as sink:
        sink.ask(everything_below(store, garbage))
        sweep(store)
        store.pin(RootKind.IMAGE, "i", garbage, ends=[sink.transfer_id])
    sql(store, "UPDATE chunk SET condemned = true")  # as if nobody's asking had rescued it
    sweep(store)
    assert is_whole(store, garbage, tmp_path)
