"""The metadata server's side of a transfer: it knows the catalog and signs permissions; the data does not pass through it.

One service serves any number of hosts and transfers, and keeps nothing that another process, or itself restarted, could not go on without.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import threading
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Engine, select

from models.database import reading, writing
from models.errors import Corrupt, Denied, InvalidInput, NotFound
from models.manifest import ManifestRef
from models.protocol.control import Nothing
from models.protocol.transfer import (
    Ask,
    Asked,
    Begin,
    Begun,
    Call,
    Claim,
    Commit,
    End,
    Open,
    Opened,
    OpenedRun,
    Operations,
    PermitPut,
    Permitted,
)
from models.states import PackState, TransferState
from models.tables import SCHEMA
from storage import tokens, transfers
from storage.catalog import Catalog
from storage.channel import Node, plan_runs
from storage.chunking import HASH_BYTES
from storage.completeness import require_complete
from storage.direct import DirectSource, node_of
from storage.in_flight import InFlight
from storage.nodes import Kind
from storage.objects import ObjectStore, Presigner
from storage.pack import INDEX_RECORD, LIMIT_BYTES, TARGET_BYTES, TRAILER, Index, index_place, pack_key, parse_index

PACK, TRANSFER = SCHEMA.tables["pack"], SCHEMA.tables["transfer"]
PUT_LIFE_S = 120  # of a permission; a pack of an overwriting store is not verified, and so trusted by nobody else, before it is over
GET_LIFE_S = 900
PERMIT_BYTES = 16


class TransferService:
    """Answers the calls of `models.protocol.transfer`. Safe for threads."""

    def __init__(self, on: Engine, objects: ObjectStore, presigner: Presigner, key: bytes):
        self._on, self._objects, self._presigner, self._key = on, objects, presigner, key
        self._sources: dict[str, DirectSource] = {}
        self._lock = threading.Lock()
        self._in_flight = InFlight()
        self._handlers: dict[str, Callable[[Any], BaseModel]] = {
            "begin": self._begin, "ask": self._ask, "permit-put": self._permit_put, "claim": self._claim, "commit": self._commit,
            "open": self._open, "end": self._end}

    def handle(self, operation: str, arguments: BaseModel) -> BaseModel:
        """One call of TRANSFER_OPERATIONS, its arguments validated."""
        return self._handlers[operation](arguments)

    def _begin(self, begin: Begin) -> Begun:
        body = tokens.read_token(begin.token, self._key)
        source = self._source(body.project)
        with writing(self._on) as session:
            secret, manifests = tokens.begin(session, body)
        if body.operation == "store":
            self._settle_earlier(source.catalog, body.instance)
        return Begun(transfer=body.transfer, secret=secret, project=body.project, operation=body.operation, manifests=tuple(manifests))

    def _ask(self, ask: Ask) -> Asked:
        hashes = _hashes(ask.hashes)
        source, instance = self._authorized(ask, "store")
        elsewhere = self._in_flight.take(source.catalog.project, ask.transfer, hashes, ask.final)
        known = source.catalog.known(hashes, instance)  # after it: what arrived since is known, what did not is still in flight
        self._in_flight.give_back(source.catalog.project, ask.transfer, known)
        return Asked(answers="".join("k" if name in known else "e" if name in elsewhere else "u" for name in hashes))

    def _permit_put(self, permit: PermitPut) -> Permitted:
        if permit.pack.size_bytes > LIMIT_BYTES:
            raise InvalidInput(f"a pack has at most {LIMIT_BYTES} bytes (usually {TARGET_BYTES})", where=permit.pack.name)
        source, instance = self._authorized(permit, "store")
        with writing(self._on) as session:
            source.catalog.expect(session, permit.pack.name, permit.pack.size_bytes, permit.transfer, instance,
                                  PUT_LIFE_S if self._presigner.overwrites else 0)
        key = pack_key(source.catalog.project, permit.pack.name)
        permission = self._presigner.permit_put(key, permit.pack.size_bytes, PUT_LIFE_S)
        return Permitted(url=permission.url, headers=permission.headers)

    def _claim(self, claim: Claim) -> Nothing:
        source, _ = self._authorized(claim, "store")
        with reading(self._on) as session:
            expected = session.connection().execute(select(PACK.c.size_bytes, PACK.c.transfer_id).where(PACK.c.name == claim.name)).first()
        if expected is None or expected.transfer_id != claim.transfer:
            raise Denied("this transfer did not announce such a pack", where=claim.name)
        self._take_in(source.catalog, claim.name, expected.size_bytes)
        return Nothing()

    def _commit(self, commit: Commit) -> Nothing:
        source, instance = self._authorized(commit, "store")
        require_complete(source, node_of(commit.manifest), instance)
        with writing(self._on) as session:
            transfers.hold(session, commit.transfer, commit.manifest)
        self._in_flight.over(commit.transfer)
        return Nothing()

    def _open(self, call: Open) -> Opened:
        source, _ = self._authorized(call, "fetch")
        parents = [self._parent(call.transfer, parent.kind, parent.hash, parent.permit) for parent in call.parents]
        children = source.children(parents) if parents else [node_of(manifest) for manifest in self._manifests(call.transfer)]
        wanted = {name for _, name in children}
        if call.only is not None:
            wanted &= set(_hashes(call.only))
        nodes = [(kind, name) for kind, name in children if kind != Kind.DATA and name in wanted]
        permits = {name.hex(): self._permit(call.transfer, kind, name).hex() for kind, name in nodes}
        runs = []
        for run in plan_runs(source.choose(wanted, call.avoid)):
            permission = self._presigner.permit_get(pack_key(source.catalog.project, run.pack), run.start, run.end, GET_LIFE_S)
            chunks = base64.b64encode(b"".join(INDEX_RECORD.pack(*chunk) for chunk in run.chunks)).decode()
            runs.append(OpenedRun(pack=run.pack, start=run.start, end=run.end, chunks=chunks,
                                  url=permission.url, headers=permission.headers))
        return Opened(runs=tuple(runs), permits=permits)

    def _end(self, end: End) -> Nothing:
        found = tokens.authorize(self._on, end)
        with writing(self._on) as session:
            transfers.end(session, [end.transfer], TransferState.FINISHED if found.operation == "fetch" else TransferState.ABORTED)
        self._in_flight.over(end.transfer)
        return Nothing()

    def _take_in(self, catalog: Catalog, name: str, size_bytes: int) -> None:
        """Claim a pack, with the chunks its own index tells: read from the store, not believed from the host."""
        index = read_stored_index(self._objects, catalog.project, name, size_bytes)
        with writing(self._on) as session:
            catalog.claim(session, name, index.chunks, PackState.CLAIMED)
        self._in_flight.arrived(catalog.project, (chunk.hash for chunk in index.chunks))

    def _settle_earlier(self, catalog: Catalog, instance: str) -> None:
        """What an earlier transfer of this instance put, but did not live to claim, need not be sent again."""
        with reading(self._on) as session:
            left = session.connection().execute(select(PACK.c.name, PACK.c.size_bytes).where(
                PACK.c.project_id == catalog.project_id, PACK.c.writer == instance, PACK.c.state == PackState.GRANTED)).all()
        for name, size_bytes in left:
            try:
                self._take_in(catalog, name, size_bytes)
            except (NotFound, Corrupt):
                continue  # it never arrived whole; the collector removes what there is of it

    def _authorized(self, call: Call, operation: Operations) -> tuple[DirectSource, str]:
        found = tokens.authorize(self._on, call, operation)
        return self._source(found.project), found.instance

    def _source(self, project: str) -> DirectSource:
        with self._lock:
            if project not in self._sources:
                self._sources[project] = DirectSource(Catalog(self._on, project), self._objects)
            return self._sources[project]

    def _manifests(self, transfer: str) -> list[ManifestRef]:
        with reading(self._on) as session:
            held = session.connection().execute(select(TRANSFER.c.manifests).where(TRANSFER.c.id == transfer)).scalar_one()
        return [ManifestRef.model_validate(item) for item in held]

    def _permit(self, transfer: str, kind: Kind, name: bytes) -> bytes:
        """Proof that we told this transfer of that node: with it, its children may be asked for. So we need not remember."""
        return tokens.sign(self._key, b"node", transfer.encode(), bytes([kind]), name)[:PERMIT_BYTES]

    def _parent(self, transfer: str, kind: int, name: str, permit: str) -> Node:
        node = Kind(kind), bytes.fromhex(name)
        if permit:
            if not hmac.compare_digest(permit, self._permit(transfer, *node).hex()):
                raise Denied("this node does not belong to what may be fetched", where=name)
        elif node not in [node_of(manifest) for manifest in self._manifests(transfer)]:
            raise Denied("this manifest is not one of those that may be fetched", where=name)
        return node


def read_stored_index(objects: ObjectStore, project: str, name: str, size_bytes: int) -> Index:
    """The index of a pack in the store. Raises NotFound, and Corrupt if it is not the pack of that size and project."""
    key, where = pack_key(project, name), f"pack {name}"
    found = objects.size(key)
    if found != size_bytes:
        raise Corrupt(f"the pack has {found} bytes instead of {size_bytes}", where=where)
    trailer = objects.get(key, -TRAILER.size)
    start, end = index_place(trailer, found, where)
    index = parse_index(objects.get(key, start, end), trailer, where)
    if index.project != project:
        raise Corrupt(f"the pack says that it belongs to project '{index.project}'", where=where)
    return index


def _hashes(text: str) -> Sequence[bytes]:
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidInput("hashes are not base64") from error
    if len(data) % HASH_BYTES:
        raise InvalidInput("hashes are not of 32 bytes each")
    return [data[at:at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
