"""Collecting frees what nothing reaches and nothing else, whoever does what meanwhile and whenever the collector dies."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Engine, text

from models.database import connect, reading, writing
from models.errors import Conflict, Corrupt, Denied
from models.leases import Lease
from models.manifest import ManifestKind, ManifestRef
from storage import collecting, store_mark
from storage.catalog import Catalog
from storage.channel import Node
from storage.chunking import name_of
from storage.collecting import collect
from storage.compression import compress
from storage.direct import DirectSink, DirectSource, node_of
from storage.local_objects import LocalObjects
from storage.nodes import Kind, Member, children, encode_collection, encode_flat, pack_records
from storage.objects import ObjectStore
from storage.pack import PackBuilder
from storage.roots import RootKind, pin, unpin
from storage.store import Store
from tests.storage.samples import make_tree, snapshot

EXAMPLES = int(os.environ.get("SWAPBED_TEST_EXAMPLES", "10"))  # of the state machine; some hundreds when the collector is changed


class Killed(BaseException):
    """As kill -9 would end it: no handler of ours may run on it."""


def sweep(store: Store, **options) -> collecting.Collected:
    return collect(store.catalog.on, store.objects, holder="test", **options)


def stored_bytes(objects: ObjectStore) -> int:
    return sum(info.size_bytes for info in objects.listing("packs/"))


def chunks_in(on: Engine) -> int:
    with reading(on) as session:
        return session.connection().execute(text("SELECT COUNT(*) FROM chunk")).scalar_one()


def test_two_collections_free_what_no_root_reaches(any_store: Store, tmp_path: Path) -> None:
    kept, gone = make_tree(tmp_path / "kept", seed=1), make_tree(tmp_path / "gone", seed=2)
    manifests = {path.name: any_store.store_tree(path).manifest for path in (kept, gone)}
    any_store.pin(RootKind.RECORD, "kept", manifests["kept"])
    any_store.pin(RootKind.RECORD, "gone", manifests["gone"])
    end_transfers(any_store)
    before = stored_bytes(any_store.objects)
    assert sweep(any_store).condemned_chunks == 0
    any_store.unpin(RootKind.RECORD, "gone")
    first = sweep(any_store)
    assert first.condemned_bytes > 5_000_000 and first.freed_chunks == 0 and stored_bytes(any_store.objects) == before
    second = sweep(any_store)
    assert second.freed_bytes == first.condemned_bytes and second.deleted_packs >= 1
    assert stored_bytes(any_store.objects) < before - 5_000_000
    any_store.restore_tree(manifests["kept"], tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(kept)


def end_transfers(store: Store) -> None:
    with writing(store.catalog.on) as session:
        session.connection().execute(text("UPDATE transfer SET expires_s = 0"))


def test_a_dry_run_tells_and_does_nothing(store: Store, tmp_path: Path) -> None:
    store.store_tree(make_tree(tmp_path / "tree"))
    end_transfers(store)
    before = stored_bytes(store.objects), chunks_in(store.catalog.on)
    told = sweep(store, dry_run=True)
    assert told.dry_run and told.condemned_chunks == before[1]
    assert (stored_bytes(store.objects), chunks_in(store.catalog.on)) == before
    assert sweep(store).condemned_bytes == told.condemned_bytes
    assert sweep(store, dry_run=True).freed_bytes == told.condemned_bytes
    assert sweep(store).freed_bytes == told.condemned_bytes


def test_what_a_living_transfer_was_told_of_is_not_freed(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    first = store.store_tree(tree)
    end_transfers(store)
    with DirectSink(store.catalog, store.objects) as sink:
        assert sink.ask([bytes.fromhex(first.hash)]).unknown == set()
        sweep(store)
        assert sweep(store).waiting_for == (sink.transfer_id,)
        store.pin(RootKind.RECORD, "late", first.manifest, ends=[sink.transfer_id])
    assert sweep(store).freed_chunks == 0
    store.restore_tree(first.hash, tmp_path / "again")


def test_asking_for_a_condemned_chunk_saves_it(store: Store, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    stored = store.store_tree(tree)
    end_transfers(store)
    assert sweep(store).condemned_chunks > 0
    again = store.store_tree(tree)
    assert again.counts.sent_bytes == 0
    store.pin(RootKind.RECORD, "r", again.manifest)
    end_transfers(store)
    assert sweep(store).freed_chunks == 0
    store.restore_tree(stored.hash, tmp_path / "again")


def test_a_transfer_that_expired_cannot_pin_what_is_gone(store: Store, tmp_path: Path) -> None:
    stored = store.store_tree(make_tree(tmp_path / "tree"))
    sink = DirectSink(store.catalog, store.objects)
    sink.ask([bytes.fromhex(stored.hash)])
    end_transfers(store)
    sweep(store)
    sweep(store)
    with pytest.raises(Denied):
        sink.send(_pack("test", [os.urandom(100)]))
    with pytest.raises(Corrupt, match="not in the store"):
        store.pin(RootKind.RECORD, "r", stored.manifest)
    assert store.roots() == []


def test_a_transfer_that_was_forgotten_is_told_so(store: Store, tmp_path: Path) -> None:
    sink = DirectSink(store.catalog, store.objects)
    stored = store.store_tree(make_tree(tmp_path / "tree"))
    end_transfers(store)
    sweep(store)  # which removes the rows of transfers that ended long ago
    with pytest.raises(Denied, match="over"):
        sink.commit(stored.manifest)


def test_a_hole_below_a_root_stops_everything(store: Store, tmp_path: Path) -> None:
    stored = store.store_tree(make_tree(tmp_path / "tree"))
    store.pin(RootKind.RECORD, "r-1", stored.manifest)
    with writing(store.catalog.on) as session:
        session.connection().execute(text("DELETE FROM chunk WHERE hash = :name"), {"name": bytes.fromhex(stored.hash)})
    with pytest.raises(Corrupt, match="record r-1 of project test"):
        sweep(store)


def test_two_collectors_at_once(store: Store, tmp_path: Path) -> None:
    store.store_tree(make_tree(tmp_path / "tree"))

    def meddle(name: str) -> None:
        if name == "mark":
            with pytest.raises(Conflict, match="collect garbage"):
                sweep(store)

    sweep(store, step=meddle)


def test_a_collector_that_was_thought_dead_does_nothing_more(store: Store, tmp_path: Path) -> None:
    store.store_tree(make_tree(tmp_path / "tree"))
    end_transfers(store)
    sweep(store)

    def take_over(name: str) -> None:
        if name == "free":
            with writing(store.catalog.on) as session:
                session.connection().execute(text("UPDATE lease SET fence = fence + 1"))

    with pytest.raises(Conflict, match="lease"):
        sweep(store, step=take_over)
    assert chunks_in(store.catalog.on) > 0


def test_a_catalog_from_a_backup_is_recognized_before_anything_is_deleted(store: Store, tmp_path: Path) -> None:
    store.pin(RootKind.RECORD, "r", store.store_tree(make_tree(tmp_path / "tree")).manifest)
    path = Path(store.catalog.on.url.database or "")
    store.catalog.on.dispose()
    backup = path.read_bytes()
    sweep(store)
    sweep(store)
    store.catalog.on.dispose()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    path.write_bytes(backup)
    with pytest.raises(Corrupt, match="older than the store"):
        sweep(store)
    with writing(store.catalog.on) as session:
        session.connection().execute(text("UPDATE store SET identity = 'other', epoch = 100"))
    with pytest.raises(Conflict, match="another database"):
        store_mark.require_current(store.catalog.on, store.objects)


def test_many_small_packs_become_one(store: Store, tmp_path: Path) -> None:
    for number in range(12):
        path = tmp_path / str(number)
        path.write_bytes(os.urandom(30_000))
        store.pin(RootKind.IMAGE, str(number), store.store_image(path).manifest)
    end_transfers(store)
    before = len(list(store.objects.listing("packs/")))
    assert sweep(store).rewritten_packs == before == 24
    assert len(list(store.objects.listing("packs/"))) == 2
    for number in range(12):
        store.restore_image(store.root(RootKind.IMAGE, str(number)).manifest, tmp_path / f"again-{number}")
        assert (tmp_path / f"again-{number}").read_bytes() == (tmp_path / str(number)).read_bytes()


def test_what_a_killed_writer_left_is_removed_when_it_is_old(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = DirectSink(store.catalog, store.objects)
    with pytest.raises(Killed), monkeypatch.context() as patch:
        patch.setattr(sink.catalog, "claim", _kill)
        sink.send(_pack("test", [os.urandom(5000)]))
    store.objects.put("roots/test/root-orphan.json", b"{}")
    (tmp_path / "store/packs/.unfinished-x").write_bytes(b"x")
    assert sweep(store).deleted_packs == 0 and stored_bytes(store.objects) > 5000
    monkeypatch.setattr(collecting, "GRACE_S", -10.0)
    end_transfers(store)
    assert sweep(store).deleted_packs == 1
    assert {info.key for info in store.objects.listing()} == {"store.json"}
    assert not (tmp_path / "store/packs/.unfinished-x").exists()


def _kill(*_: object) -> None:
    raise Killed


def _pack(project: str, chunks: list[bytes], kind: Kind = Kind.DATA):
    builder = PackBuilder(project)
    for chunk in chunks:
        builder.add(name_of(chunk), kind, len(chunk), compress(chunk))
    return builder.seal()


OPERATIONS = ["begin", "write", "commit", "pin", "unpin", "end"]


class Writers(RuleBasedStateMachine):
    """Writers, pins and collectors in any order, the others also between any two steps of a collection, which may be killed at any of its
    transactions. What is pinned must be whole after each; what nobody holds must be gone in the end."""

    DATA = [os.urandom(600) + bytes([n]) for n in range(6)]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="swapbed-collect-", dir="/var/tmp"))
        shutil.copyfile(Writers.template, self.folder / "catalog.db")
        self.on = connect(f"sqlite:///{self.folder}/catalog.db")
        self.objects = LocalObjects(self.folder / "store")
        self.catalog = Catalog(self.on, "test")
        self.sinks: list[tuple[DirectSink, dict[str, ManifestRef]]] = []
        self.pinned: dict[str, ManifestRef] = {}
        self.known: dict[str, ManifestRef] = {}
        self.contents: dict[bytes, tuple[Kind, bytes]] = {}

    template: Path

    def teardown(self) -> None:
        try:
            for sink, _ in self.sinks:
                sink.close()
            for _ in range(2):
                collect(self.on, self.objects, holder="last", everything=True)
            self.everything_pinned_is_whole()
            reachable = self.reach([node_of(manifest) for manifest in self.pinned.values()])
            with reading(self.on) as session:
                left = {bytes(name) for name, in session.connection().execute(text("SELECT DISTINCT hash FROM chunk"))}
            assert left == reachable
        finally:
            self.on.dispose()
            shutil.rmtree(self.folder)

    def reach(self, ahead: list[Node]) -> set[bytes]:
        found: set[bytes] = set()
        while ahead:
            kind, name = ahead.pop()
            found.add(name)
            if kind != Kind.DATA:
                ahead += children(kind, self.contents[name][1])
        return found

    def manifest(self, numbers: frozenset[int], others: list[ManifestRef]) -> ManifestRef:
        """A flat manifest of these chunks; or, with others, a collection of it and them."""
        records = pack_records((name_of(self.DATA[number]), 601) for number in sorted(numbers))
        flat = encode_flat(601 * len(numbers), records, segmented=False)
        for number in numbers:
            self.contents[name_of(self.DATA[number])] = (Kind.DATA, self.DATA[number])
        self.contents[name_of(flat)] = (Kind.FLAT, flat)
        made = ManifestRef(kind=ManifestKind.FLAT, hash=name_of(flat).hex(), size_bytes=601 * len(numbers))
        if others:
            members = [Member(f"m{n}", *node_of(one), one.size_bytes, one.files) for n, one in enumerate([made, *others])]
            collection = encode_collection(b"", members)
            self.contents[name_of(collection)] = (Kind.COLLECTION, collection)
            made = ManifestRef(kind=ManifestKind.COLLECTION, hash=name_of(collection).hex(), size_bytes=0)
        return made

    @initialize()
    def start(self) -> None:
        self.sinks = []

    @rule()
    def begin(self) -> None:
        if len(self.sinks) < 3:
            self.sinks.append((DirectSink(self.catalog, self.objects), {}))

    @rule(numbers=st.frozensets(st.integers(0, 5), min_size=1, max_size=3), nest=st.booleans(), pick=st.integers(0, 20))
    def write(self, numbers: frozenset[int], nest: bool, pick: int) -> None:
        """Ask for all that a manifest reaches, send what is unknown; commit it later, or never."""
        if not self.sinks:
            return
        sink, sent = self.sinks[pick % len(self.sinks)]
        others = [list(self.known.values())[pick % len(self.known)]] if nest and self.known else []
        manifest = self.manifest(numbers, others)
        reached = sorted(self.reach([node_of(manifest)]))
        try:
            for name in reached:
                if name in sink.ask([name]).unknown:
                    kind, content = self.contents[name]
                    sink.send(_pack("test", [content], kind))
            sent[manifest.hash] = manifest
        except Denied:
            self.drop(sink)

    @rule(pick=st.integers(0, 20), pinned=st.booleans())
    def commit(self, pick: int, pinned: bool) -> None:
        """What a living transfer has sent or was told of can be committed and pinned, always."""
        ready = [(sink, manifest) for sink, sent in self.sinks for manifest in sent.values()]
        if not ready:
            return
        sink, manifest = ready[pick % len(ready)]
        try:
            sink.commit(manifest)
        except Denied:
            self.drop(sink)
            return
        self.known[manifest.hash] = manifest
        if pinned:
            pin(self.catalog, self.objects, RootKind.RECORD, f"r{pick % 4}", manifest)
            self.pinned[f"r{pick % 4}"] = manifest

    @rule(pick=st.integers(0, 20))
    def pin_what_was_committed_once(self, pick: int) -> None:
        """It may be gone by now, which must be said."""
        if self.known:
            manifest = list(self.known.values())[pick % len(self.known)]
            try:
                pin(self.catalog, self.objects, RootKind.RECORD, f"r{pick % 4}", manifest)
            except Corrupt:
                return
            self.pinned[f"r{pick % 4}"] = manifest

    @rule(pick=st.integers(0, 3))
    def unpin(self, pick: int) -> None:
        unpin(self.catalog, self.objects, RootKind.RECORD, f"r{pick}")
        self.pinned.pop(f"r{pick}", None)

    @rule(pick=st.integers(0, 20), silently=st.booleans())
    def end(self, pick: int, silently: bool) -> None:
        if self.sinks:
            sink, _ = self.sinks[pick % len(self.sinks)]
            if silently:
                with writing(self.on) as session:
                    session.connection().execute(text("UPDATE transfer SET expires_s = 0 WHERE id = :id"), {"id": sink.transfer_id})
            else:
                sink.close()
                self.drop(sink)

    def drop(self, sink: DirectSink) -> None:
        self.sinks = [one for one in self.sinks if one[0] is not sink]

    @rule(data=st.data(), everything=st.booleans(), die_after=st.one_of(st.none(), st.integers(0, 25)))
    def collect(self, data: st.DataObject, everything: bool, die_after: int | None) -> None:
        with writing(self.on) as session:
            session.connection().execute(text("UPDATE lease SET expires_s = 0"))  # of a collector that was killed
        checks = 0
        real = Lease.check

        def check(lease: Lease, session) -> None:
            nonlocal checks
            checks += 1
            if checks == die_after:
                raise Killed
            real(lease, session)

        def meanwhile(name: str) -> None:
            for operation in data.draw(st.lists(st.sampled_from(OPERATIONS), max_size=2), label=name):
                self.operate(operation, data.draw(st.integers(0, 20)))

        Lease.check = check  # type: ignore[method-assign]
        try:
            collect(self.on, self.objects, holder="machine", everything=everything, step=meanwhile)
        except Killed:
            pass
        finally:
            Lease.check = real  # type: ignore[method-assign]

    def operate(self, operation: str, pick: int) -> None:
        actions: dict[str, Callable[[], None]] = {
            "begin": self.begin, "write": lambda: self.write(frozenset({pick % 6, pick // 6}), bool(pick % 2), pick),
            "commit": lambda: self.commit(pick, True), "pin": lambda: self.pin_what_was_committed_once(pick),
            "unpin": lambda: self.unpin(pick % 4), "end": lambda: self.end(pick, bool(pick % 2))}
        actions[operation]()

    @invariant()
    def everything_pinned_is_whole(self) -> None:
        source = DirectSource(self.catalog, self.objects)
        for manifest in {manifest.hash: manifest for manifest in self.pinned.values()}.values():
            ahead = [node_of(manifest)]
            while ahead:
                kind, name = ahead.pop()
                assert source.nodes([(kind, name)])[name] == self.contents[name][1]
                if kind != Kind.DATA:
                    ahead += source.children([(kind, name)])


@pytest.mark.parametrize("chunks", [0, 1, 20_000, 1_000_000, 10**10])
def test_ranges_cover_every_hash_once(chunks: int) -> None:
    found = collecting.ranges(chunks)
    assert found[0][0] <= b"\0" * 32 and found[-1][1] > b"\xff" * 32
    assert all(high == low for (_, high), (low, _) in zip(found, found[1:], strict=False))
    assert all(low < high for low, high in found)


def test_writers_and_collectors_in_any_order(empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "CHUNKS_AT_ONCE", 8)  # so that it can die between two of its transactions
    Writers.template = empty_database
    run_state_machine_as_test(Writers, settings=settings(
        max_examples=EXAMPLES, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)))
