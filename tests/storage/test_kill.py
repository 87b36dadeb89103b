"""Processes that end by SIGKILL, for real: whatever they were doing, the next one finishes it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from models.database import connect, writing
from storage.checking import check
from storage.collecting import collect
from storage.direct import DirectSink
from storage.images import store_image
from storage.local_objects import LocalObjects
from storage.pack import Pack
from storage.roots import RootKind
from storage.store import Store
from tests.storage.samples import make_tree, snapshot

STEPS = ("mark", "pardon", "free", "retire", "rewrite", "delete", "condemn", "tidy")


def killed(work: Callable[[Store], None], store: Store, objects: LocalObjects) -> bool:
    """Do it in a child, with connections of its own; whether it was killed."""
    store.catalog.on.dispose()
    child = os.fork()
    if not child:
        try:
            on = connect(str(store.catalog.on.url))
            work(Store(on, LocalObjects(objects.root), "test"))
        except BaseException as error:  # nothing of pytest's may run here
            print(error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(10)


def test_a_collector_killed_at_each_step(store: Store, catalog_database: Engine, tmp_path: Path) -> None:
    objects = store.objects
    assert isinstance(objects, LocalObjects)
    kept = make_tree(tmp_path / "kept", 1)
    store.pin(RootKind.RECORD, "kept", store.store_tree(kept).manifest)
    (tmp_path / "image").write_bytes(os.urandom(3_000_000))
    store.store_image(tmp_path / "image")
    for step in (*STEPS, *reversed(STEPS)):
        with writing(catalog_database) as session:
            session.connection().execute(text("UPDATE transfer SET expires_s = 0"))
            session.connection().execute(text("UPDATE lease SET expires_s = 0"))

        def collect_and_die(own: Store, step: str = step) -> None:
            collect(own.catalog.on, own.objects, holder="child", everything=True, step=lambda name: die() if name == step else None)

        assert killed(collect_and_die, store, objects), step
        assert check(catalog_database, objects, deep=True).whole, step
    with writing(catalog_database) as session:
        session.connection().execute(text("UPDATE lease SET expires_s = 0"))
    for _ in range(2):
        collect(catalog_database, objects, holder="last", everything=True)
    assert check(catalog_database, objects, deep=True).findings == ()
    store.restore_tree(store.root(RootKind.RECORD, "kept").manifest, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(kept)
    assert sum(info.size_bytes for info in objects.listing("packs/")) < 6_500_000  # the image is gone


@pytest.mark.parametrize("moment", ["before the put", "after the put", "after the claim"])
def test_a_writer_killed_between_its_steps(store: Store, catalog_database: Engine, tmp_path: Path, moment: str) -> None:
    objects = store.objects
    assert isinstance(objects, LocalObjects)
    image = tmp_path / "image"
    image.write_bytes(os.urandom(30_000_000))

    def store_and_die(own: Store) -> None:
        sink = DirectSink(own.catalog, own.objects)
        put, send, sent = own.objects.put, sink.send, []

        def dying_put(key: str, data: bytes) -> None:
            if moment == "before the put" and sent:
                die()
            put(key, data)
            if moment == "after the put" and sent:
                die()

        def dying_send(pack: Pack) -> None:
            send(pack)
            sent.append(pack)
            if moment == "after the claim":
                die()

        own.objects.put = dying_put  # type: ignore[method-assign]
        sink.send = dying_send  # type: ignore[method-assign]
        store_image(sink, image)

    assert killed(store_and_die, store, objects)
    stored = store.store_image(image)
    assert stored.counts.sent_bytes < 30_100_000 - (8 << 20) + 100_000
    store.pin(RootKind.IMAGE, "i", stored.manifest)
    store.restore_image(stored.manifest, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == image.read_bytes()
    assert check(catalog_database, objects, deep=True).whole
