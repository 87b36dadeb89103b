"""A host with nothing but a token stores and fetches, and cannot do anything else, however it tries."""

from __future__ import annotations

import base64
import os
import threading
from pathlib import Path

import pytest
import urllib3
from sqlalchemy import text

from models.database import writing
from models.errors import Conflict, Corrupt, Denied, NotFound
from models.manifest import ManifestKind, ManifestRef
from models.protocol.control import Nothing
from models.protocol.transfer import Ask, Asked, Claim, Open, Opened, PackOffer, Parent, PermitPut, Permitted
from storage import tokens
from storage.catalog import Catalog
from storage.chunking import name_of
from storage.compression import compress
from storage.direct import DirectSink
from storage.gate import Gate
from storage.images import restore_image, store_image
from storage.ingest import Ingest
from storage.nodes import Entry, FileType, Kind, encode_directory, encode_flat, encode_tree, pack_records
from storage.pack import TRAILER, Pack, PackBuilder
from storage.roots import RootKind
from storage.store import Store
from storage.transfer import HostTransfer
from storage.trees import restore_tree, store_tree
from storage.verification import verify_packs
from tests.storage.samples import KEY, make_tree, snapshot


def storing(store: Store, gate: Gate, instance: str = "i-one", project: str = "test") -> HostTransfer:
    return HostTransfer(gate.url, tokens.issue(Catalog(store.catalog.on, project), KEY, instance, "store"))


def fetching(store: Store, gate: Gate, *manifests: ManifestRef, project: str = "test") -> HostTransfer:
    return HostTransfer(gate.url, tokens.issue(Catalog(store.catalog.on, project), KEY, "i-one", "fetch", manifests))


def expire_permissions(store: Store) -> None:
    with writing(store.catalog.on) as session:
        session.connection().execute(text("UPDATE pack SET writable_until_s = 0"))


def lying_pack(project: str, name: bytes, content: bytes) -> Pack:
    builder = PackBuilder(project)
    builder.add(name, Kind.DATA, len(content), compress(content))
    return builder.seal()


def test_a_host_stores_and_another_fetches(any_store: Store, gate: Gate, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with storing(any_store, gate) as host:
        stored = store_tree(host, tree)
    any_store_pins(any_store, stored.manifest, host)
    with fetching(any_store, gate, stored.manifest) as other:
        restore_tree(other, stored.manifest, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tree)
    with storing(any_store, gate) as host:
        again = store_tree(host, tree)
    assert again.hash == stored.hash and again.counts.sent_bytes == 0


def any_store_pins(store: Store, manifest: ManifestRef, host: HostTransfer) -> None:
    expire_permissions(store)
    verify_packs(store.catalog, store.objects)
    store.pin(RootKind.CHECKPOINT, "c-1", manifest, ends=[host.transfer_id])


def test_what_one_instance_sent_is_told_to_others_only_after_it_was_verified(any_store: Store, gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(os.urandom(1_000_000))
    with storing(any_store, gate, "i-one") as host:
        first = store_image(host, tmp_path / "image")
    with storing(any_store, gate, "i-one") as host:
        assert store_image(host, tmp_path / "image").counts.sent_bytes == 0
    with storing(any_store, gate, "i-two") as host:
        assert store_image(host, tmp_path / "image").counts.sent_bytes >= 1_000_000
    expire_permissions(any_store)
    assert verify_packs(any_store.catalog, any_store.objects).damaged == ()
    with storing(any_store, gate, "i-three") as host:
        assert store_image(host, tmp_path / "image").counts.sent_bytes == 0
    with storing(any_store, gate, "i-one", project="other") as host:
        assert store_image(host, tmp_path / "image").counts.sent_bytes >= 1_000_000
    assert first.counts.new_chunks > 60


def test_an_instance_can_pin_what_its_own_hosts_sent_before_it_is_verified(any_store: Store, gate: Gate, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    with storing(any_store, gate, "i-one") as host:
        part = store_tree(host, tree).manifest
    with pytest.raises(Corrupt):
        any_store.pin(RootKind.CHECKPOINT, "c-1", part)
    own = Store(any_store.catalog.on, any_store.objects, "test", trusting="i-one")
    whole = own.store_collection({"node/a": part}, b"note")
    own.pin(RootKind.CHECKPOINT, "c-1", whole, ends=[host.transfer_id])
    own.restore_tree(own.read_collection(whole).members["node/a"], tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(tree)


def test_a_pack_may_still_be_replaced_so_it_is_not_verified_yet(any_store: Store, gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(os.urandom(100_000))
    with storing(any_store, gate) as host:
        store_image(host, tmp_path / "image")
    checked = verify_packs(any_store.catalog, any_store.objects)
    assert checked.verified == (0 if any_store.objects.name.startswith("s3:") else 2)


def test_a_forged_token(store: Store, local_gate: Gate) -> None:
    good = tokens.issue(store.catalog, KEY, "i-one", "store")
    body, _, signature = good.partition(".")
    other = base64.urlsafe_b64encode(base64.urlsafe_b64decode(body + "==").replace(b"i-one", b"i-two")).rstrip(b"=").decode()
    forgeries = [f"{other}.{signature}", f"{body}.{signature[:-2]}", f"{body}.", "", "x.y", ".", "a" * 10_000,
                 tokens.issue(store.catalog, b"another key" * 3, "i-one", "store")]
    for token in forgeries:
        with pytest.raises(Denied):
            HostTransfer(local_gate.url, token)
    HostTransfer(local_gate.url, good).close()


def test_an_expired_a_replayed_and_a_withdrawn_token(store: Store, local_gate: Gate) -> None:
    with pytest.raises(Denied, match="expired"):
        HostTransfer(local_gate.url, tokens.issue(store.catalog, KEY, "i-one", "store", life_s=-1))
    token = tokens.issue(store.catalog, KEY, "i-one", "store")
    HostTransfer(local_gate.url, token).close()
    with pytest.raises(Denied, match="used before"):
        HostTransfer(local_gate.url, token)


def test_a_transfer_that_is_over_or_was_silent_too_long(store: Store, local_gate: Gate) -> None:
    host = storing(store, local_gate)
    with writing(store.catalog.on) as session:
        session.connection().execute(text("UPDATE transfer SET expires_s = 0"))
    with pytest.raises(Denied, match="over|silent"):
        host.ask([b"x" * 32])
    host = storing(store, local_gate)
    host.close()
    with pytest.raises(Denied):
        host.ask([b"x" * 32])


def test_a_secret_of_another_transfer(store: Store, local_gate: Gate) -> None:
    mine, theirs = storing(store, local_gate), storing(store, local_gate, "i-two")
    with pytest.raises(Denied):
        mine._call("ask", Ask(transfer=theirs.transfer_id, secret=mine._own["secret"], hashes=""), Asked)


def test_a_token_for_storing_fetches_nothing_and_the_other_way_round(store: Store, local_gate: Gate, tmp_path: Path) -> None:
    stored = store.store_tree(make_tree(tmp_path / "tree"))
    with storing(store, local_gate) as host, pytest.raises(Denied, match="may store, not fetch"):
        restore_tree(host, stored.manifest, tmp_path / "out")
    with fetching(store, local_gate, stored.manifest) as host, pytest.raises(Denied, match="may fetch, not store"):
        store_tree(host, tmp_path / "tree")


def test_fetching_reaches_only_what_the_token_names(store: Store, local_gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_bytes(os.urandom(50_000))
    (tmp_path / "b").mkdir()
    (tmp_path / "b/secret").write_bytes(os.urandom(50_000))
    mine, theirs = store.store_tree(tmp_path / "a").manifest, store.store_tree(tmp_path / "b").manifest
    with fetching(store, local_gate, mine) as host:
        with pytest.raises(Denied):
            host.open([(Kind.TREE, bytes.fromhex(theirs.hash))])
        secret = bytes.fromhex(theirs.hash)
        assert host.open([(Kind.TREE, bytes.fromhex(mine.hash))], only=[secret]) == []
        assert host.open([], only=[secret]) == []
        (root,) = host.open([(Kind.TREE, bytes.fromhex(mine.hash))])
        directory = root.chunks[0].hash
        forged = Parent(kind=Kind.SEGMENT, hash=directory.hex(), permit=host._permits[directory])
        with pytest.raises(Denied):
            host._call("open", Open(**host._own, parents=(forged,)), Opened)
        with fetching(store, local_gate, theirs) as other, pytest.raises(Denied):
            passed = Parent(kind=Kind.DIRECTORY, hash=directory.hex(), permit=host._permits[directory])
            other._call("open", Open(**other._own, parents=(passed,)), Opened)


def test_a_permission_holds_for_that_range_of_that_pack_only(any_store: Store, gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(os.urandom(100_000))
    stored = any_store.store_image(tmp_path / "image")
    with fetching(any_store, gate, stored.manifest) as host:
        (run,) = host.open([])
        http = urllib3.PoolManager(retries=False)
        assert http.request("GET", host._at(run.url), headers=dict(run.headers)).status == 206
        for headers in ({"Range": f"bytes=0-{run.end - 1}"}, {"Range": "bytes=0-"}, {}):
            assert http.request("GET", host._at(run.url), headers=headers).status in (400, 403, 422)
        other = host._at(run.url).replace(run.pack[:8], "0" * 8)
        assert http.request("GET", other, headers=dict(run.headers)).status in (403, 404)
        assert http.request("PUT", host._at(run.url), body=b"x", headers=dict(run.headers)).status in (400, 403, 422)
        assert http.request("DELETE", host._at(run.url)).status >= 400


def test_knowing_a_hash_is_not_enough(store: Store, local_gate: Gate, tmp_path: Path) -> None:
    secret = os.urandom(60_000)
    (tmp_path / "image").write_bytes(secret)
    Store(store.catalog.on, store.objects, "theirs").store_image(tmp_path / "image")
    name = name_of(secret[:16384])
    with storing(store, local_gate) as host:
        assert host.ask([name]).unknown == {name}
        node = encode_flat(16384, pack_records([(name, 16384)]), segmented=False)
        builder = PackBuilder("test")
        builder.add(name_of(node), Kind.FLAT, len(node), compress(node))
        host.send(builder.seal())
        with pytest.raises(Corrupt, match=name.hex()):
            host.commit(ManifestRef(kind=ManifestKind.FLAT, hash=name_of(node).hex(), size_bytes=16384))


def test_a_pack_that_lies_about_a_chunk_harms_nobody_else(any_store: Store, gate: Gate, tmp_path: Path) -> None:
    content, lie = os.urandom(16384), os.urandom(16384)
    with storing(any_store, gate, "i-liar") as host:
        host.send(lying_pack("test", name_of(content), lie))
        assert host.ask([name_of(content)]).unknown == set()
    with storing(any_store, gate, "i-honest") as host:
        assert host.ask([name_of(content)], final=True).unknown == {name_of(content)}
    expire_permissions(any_store)
    (damage,) = verify_packs(any_store.catalog, any_store.objects).damaged
    assert name_of(content).hex() in damage.what
    with storing(any_store, gate, "i-liar") as host:
        assert host.ask([name_of(content)], final=True).unknown == {name_of(content)}
    (tmp_path / "image").write_bytes(content)
    with storing(any_store, gate, "i-honest") as host:
        stored = store_image(host, tmp_path / "image")
    with fetching(any_store, gate, stored.manifest) as host:
        restore_image(host, stored.manifest, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == content


def test_a_pack_that_is_not_what_was_announced_is_not_claimed(any_store: Store, gate: Gate) -> None:
    local = not any_store.objects.name.startswith("s3:")
    pack = lying_pack("test", name_of(b"x"), b"x")
    broken = {
        "another project's": lying_pack("theirs", name_of(b"x"), b"x").data,
        "cut off": pack.data[:-10] + b"\0" * 10,
        "an index of other chunks": pack.data[:-TRAILER.size - 60] + bytes(60) + pack.data[-TRAILER.size:],
        "no pack at all": os.urandom(5000),
    }
    for what, data in broken.items():
        with storing(any_store, gate) as host:
            name = name_of(data) if local else os.urandom(32)  # the gate looks at the name; S3 cannot
            offer = PackOffer(name=name.hex(), size_bytes=len(data))
            permitted = host._call("permit-put", PermitPut(**host._own, pack=offer), Permitted)
            urllib3.PoolManager().request("PUT", host._at(permitted.url), body=data, headers=permitted.headers)
            with pytest.raises(Corrupt):
                host._call("claim", Claim(**host._own, name=name.hex()), Nothing)
            assert host.ask([name_of(b"x")]).unknown == {name_of(b"x")}, what


def test_a_put_is_of_the_announced_size_and_under_the_announced_name(any_store: Store, gate: Gate) -> None:
    pack = lying_pack("test", name_of(b"x"), b"x")
    http = urllib3.PoolManager(retries=False)
    with storing(any_store, gate) as host:
        offer = PackOffer(name=pack.name.hex(), size_bytes=len(pack.data))
        permitted = host._call("permit-put", PermitPut(**host._own, pack=offer), Permitted)
        assert http.request("PUT", host._at(permitted.url), body=pack.data + b"more").status in (400, 403, 422)
        assert http.request("PUT", host._at(permitted.url).replace("/packs/", "/roots/"), body=pack.data).status in (400, 403, 404)
        with pytest.raises(NotFound):
            host._call("claim", Claim(**host._own, name=pack.name.hex()), Nothing)


def test_the_local_store_takes_a_pack_once_and_by_its_hash(store: Store, local_gate: Gate) -> None:
    pack = lying_pack("test", name_of(b"x"), b"x")
    http = urllib3.PoolManager(retries=False)
    with storing(store, local_gate) as host:
        offer = PackOffer(name=pack.name.hex(), size_bytes=len(pack.data))
        permitted = host._call("permit-put", PermitPut(**host._own, pack=offer), Permitted)
        assert http.request("PUT", host._at(permitted.url), body=bytes(len(pack.data)), headers=permitted.headers).status == 422
        assert http.request("PUT", host._at(permitted.url), body=pack.data, headers=permitted.headers).status == 200
        assert http.request("PUT", host._at(permitted.url), body=pack.data, headers=permitted.headers).status == 409


def test_a_claim_of_somebody_elses_pack(store: Store, local_gate: Gate) -> None:
    pack = lying_pack("test", name_of(b"x"), b"x")
    with storing(store, local_gate, "i-one") as one, storing(store, local_gate, "i-two") as two:
        one.send(pack)
        with pytest.raises(Denied):
            two._call("claim", Claim(**two._own, name=pack.name.hex()), Nothing)
        with pytest.raises(Conflict):
            two._call("permit-put", PermitPut(**two._own, pack=PackOffer(name=pack.name.hex(), size_bytes=len(pack.data))), Permitted)


@pytest.mark.parametrize("path", ["/objects/../token.key", "/objects//etc/passwd", "/objects/packs/%2e%2e/x", "/transfer/../begin", "/",
                                  "/transfer/x"])
def test_path_tricks_at_the_gate(local_gate: Gate, path: str) -> None:
    http = urllib3.PoolManager(retries=False)
    for method in ("GET", "PUT", "POST"):
        answer = http.request(method, local_gate.url + path, body=b"{}" if method != "GET" else None)
        assert 400 <= answer.status < 500


@pytest.mark.parametrize("name", [b"..", b".", b"", b"a/b", b"a\0b", b"x" * 256])
def test_names_in_a_manifest_that_would_leave_its_tree(store: Store, tmp_path: Path, name: bytes) -> None:
    with DirectSink(store.catalog, store.objects) as sink:
        with Ingest(sink) as ingest:
            chunk = ingest.submit([b"root:x:0:0"]).result()[0]
            entry = Entry(name, FileType.FILE, 0o644, size=10, records=pack_records([(chunk, 10)]))
            directory = ingest.node(Kind.DIRECTORY, encode_directory([entry]))
            tree = ingest.node(Kind.TREE, encode_tree(Entry(b"", FileType.DIRECTORY, 0o755, node=directory)))
            ingest.finish()
        with pytest.raises(Corrupt, match="not a file name|names of a directory"):
            store.restore_tree(tree.hex(), tmp_path / "out")
        with pytest.raises(Corrupt):
            sink.commit(ManifestRef(kind=ManifestKind.TREE, hash=tree.hex(), size_bytes=0))


@pytest.mark.parametrize("name", ["../../x", "A" * 64, "0" * 63])
def test_names_of_packs_are_hashes(store: Store, local_gate: Gate, name: str) -> None:
    with storing(store, local_gate) as host:
        body = PermitPut(**host._own, pack=PackOffer(name="0" * 64, size_bytes=10)).model_dump_json().replace("0" * 64, name)
        assert urllib3.PoolManager().request("POST", f"{local_gate.url}/transfer/permit-put", body=body).status == 422


def test_after_a_crash_what_arrived_is_not_sent_again(any_store: Store, gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(os.urandom(20_000_000))
    sent: list[int] = []
    host = storing(any_store, gate)
    real = host.send

    def die_before_the_second_claim(pack: Pack) -> None:
        sent.append(len(pack.data))
        if len(sent) == 2:
            host._put(pack, pack.name.hex())
            raise KeyboardInterrupt
        real(pack)

    host.send = die_before_the_second_claim  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        store_image(host, tmp_path / "image")
    with storing(any_store, gate) as again:
        stored = store_image(again, tmp_path / "image")
    assert len(sent) >= 2 and stored.counts.sent_bytes < 20_100_000 - 2 * (8 << 20)


def test_writers_of_the_same_at_the_same_time_do_the_work_once(any_store: Store, gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(os.urandom(30_000_000))
    counts, errors = [], []

    def write() -> None:
        try:
            with storing(any_store, gate, "i-one") as host:
                counts.append(store_image(host, tmp_path / "image").counts)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(count.sent_bytes for count in counts) < 1.2 * 30_000_000
    assert sum(count.new_chunks for count in counts) >= 1832
