"""Chunks into the store, overlapped: while the caller reads and cuts, workers hash, ask and compress, and senders send packs.

Memory, whatever is stored: at most `BATCHES` batches of about BUFFER_BYTES of data with their compressed frames, and the packs being
filled, waiting and sent, `connections` + 4 of TARGET_BYTES; some 100 MiB with the defaults. A caller that is faster waits in `submit`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from models.errors import Conflict
from models.manifest import Counts
from storage.channel import ChunkSink
from storage.chunking import name_of
from storage.compression import LEVEL, compress
from storage.nodes import Kind
from storage.pack import Pack, PackBuilder

WORKERS = max(2, os.cpu_count() or 2)
BATCHES = 2 * WORKERS + 2
CONNECTIONS = 4
NODE_BATCH, NODE_BATCH_BYTES = 128, 1 << 20
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5

Again = Callable[[], bytes]
"""Reads one chunk a second time."""


@dataclass(frozen=True)
class Progress:
    """What has gone through so far. Called from several threads, never at the same time."""

    read_bytes: int
    sent_bytes: int


class Ingest:
    """One storing through a sink. Use as a context manager; `finish` before its end, or nothing counts as stored.

    level: of zstd; 0: do not compress. An error of any thread is raised by the next call, and by `finish`.
    """

    def __init__(self, sink: ChunkSink, *, level: int = LEVEL, connections: int = CONNECTIONS,
                 progress: Callable[[Progress], None] | None = None):
        self.sink, self.level, self._progress = sink, level, progress
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="swapbed-hash")
        self._senders = ThreadPoolExecutor(connections, thread_name_prefix="swapbed-send")
        self._batches = threading.BoundedSemaphore(BATCHES)
        self._packs = threading.BoundedSemaphore(connections + 2)
        self._lock = threading.Lock()
        self._builders = {False: PackBuilder(sink.project), True: PackBuilder(sink.project)}  # nodes apart, so that walks read little
        self._sending: set[bytes] = set()  # decided to send, not yet claimed: the sink does not know them yet
        self._nodes: list[tuple[Kind, bytes]] = []
        self._node_bytes = 0
        self._deferred: dict[bytes, tuple[Kind, Again, str]] = {}
        self._flights: list[Future[None]] = []
        self._error: BaseException | None = None
        self._counts = {name: 0 for name in Counts.model_fields}
        self._accounts: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Ingest:
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.shutdown(cancel_futures=True)
        self._senders.shutdown(cancel_futures=True)

    @property
    def counts(self) -> Counts:
        return Counts(**self._counts)

    @property
    def accounts(self) -> dict[str, Counts]:
        """What was read, new and sent on each account; what several share is on that of the first."""
        return {account: Counts(**counts) for account, counts in self._accounts.items()}

    def submit(self, chunks: Sequence[bytes | memoryview], again: Sequence[Again] = (), kinds: Sequence[Kind] = (),
               account: str = "") -> Future[list[bytes]]:
        """Store these chunks; the result is their names, in order.

        again: how to read each once more, if it may have to be. kinds: of each; default: data. account: on which it is counted, too.
        """
        self._check()
        self._batches.acquire()
        work = self._workers.submit(self._store, chunks, again, kinds or [Kind.DATA] * len(chunks), account)
        work.add_done_callback(self._done)
        return work

    def node(self, kind: Kind, data: bytes) -> bytes:
        """Store one node of a manifest; returns its name. From one thread only, which also calls `finish`."""
        self._nodes.append((kind, data))
        self._node_bytes += len(data)
        if self._node_bytes >= NODE_BATCH_BYTES or len(self._nodes) >= NODE_BATCH:
            self._flush_nodes()
        return name_of(data)

    def finish(self) -> Counts:
        """Everything submitted is durable in the store when this returns. Call it when all results are there."""
        self._flush_nodes()
        self._workers.shutdown()
        self._drain()
        self._settle_deferred()
        self._drain()
        return self.counts

    def _flush_nodes(self) -> None:
        if self._nodes:
            self.submit([data for _, data in self._nodes], (), [kind for kind, _ in self._nodes])
            self._nodes, self._node_bytes = [], 0

    def _store(self, chunks: Sequence[bytes | memoryview], again: Sequence[Again], kinds: Sequence[Kind], account: str) -> list[bytes]:
        names = [name_of(chunk) for chunk in chunks]
        with self._lock:
            fresh = {name: at for at, name in enumerate(names) if name not in self._sending}
            self._sending.update(fresh)
        answer = self.sink.ask(list(fresh), final=not again)
        for name in answer.elsewhere:
            with self._lock:
                self._deferred[name] = (kinds[fresh[name]], again[fresh[name]], account)
        for name, at in fresh.items():
            if name in answer.unknown:
                self._pack(name, kinds[at], len(chunks[at]), compress(chunks[at], self.level), account)
        with self._lock:
            self._sending.difference_update(fresh.keys() - answer.unknown)
            read_bytes = sum(len(chunk) for chunk, kind in zip(chunks, kinds, strict=True) if kind == Kind.DATA)
            self._count(read_bytes=read_bytes, chunks=len(chunks))
            self._charge(account, read_bytes=read_bytes, chunks=len(chunks))
            self._report()
        return names

    def _pack(self, name: bytes, kind: Kind, raw_bytes: int, frame: bytes, account: str) -> None:
        with self._lock:
            builder = self._builders[kind != Kind.DATA]
            builder.add(name, kind, raw_bytes, frame)
            self._count(new_chunks=1, new_bytes=raw_bytes)
            self._charge(account, new_chunks=1, new_bytes=raw_bytes, sent_bytes=len(frame))
            if full := builder.full:
                self._builders[kind != Kind.DATA] = PackBuilder(self.sink.project)
        if full:
            self._launch(builder)

    def _launch(self, builder: PackBuilder) -> None:
        self._packs.acquire()
        flight = self._senders.submit(self._send, builder)
        flight.add_done_callback(lambda done: self._packs.release())
        flight.add_done_callback(self._note_error)
        with self._lock:
            self._flights = [other for other in self._flights if not other.done()] + [flight]

    def _send(self, builder: PackBuilder) -> None:
        if self._error is not None:
            return
        pack: Pack = builder.seal()
        self.sink.send(pack)
        with self._lock:
            self._sending.difference_update(chunk.hash for chunk in pack.chunks)
            self._count(sent_bytes=len(pack.data), packs=1)
            self._report()

    def _settle_deferred(self) -> None:
        """What others were sending: wait until they have, or until the sink believes it no longer, and do it ourselves then."""
        pause_s = FIRST_PAUSE_S
        while self._deferred:
            answer = self.sink.ask(list(self._deferred))
            for name in answer.unknown:
                kind, again, account = self._deferred[name]
                data = again()
                if name_of(data) != name:
                    raise Conflict("what is being stored was changed meanwhile", where=f"chunk {name.hex()}",
                                   next="Store it again, from a copy at rest")
                self._pack(name, kind, len(data), compress(data, self.level), account)
            self._deferred = {name: self._deferred[name] for name in answer.elsewhere}
            if self._deferred:
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _drain(self) -> None:
        self._check()
        with self._lock:
            builders, self._builders = self._builders, {nodes: PackBuilder(self.sink.project) for nodes in (False, True)}
        for builder in builders.values():
            if builder:
                self._launch(builder)
        for flight in self._flights:
            flight.result()
        self._check()

    def _done(self, work: Future[list[bytes]]) -> None:
        self._batches.release()
        self._note_error(work)

    def _note_error(self, work: Future) -> None:
        if not work.cancelled() and self._error is None:
            self._error = work.exception()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _count(self, **more: int) -> None:
        for name, number in more.items():
            self._counts[name] += number

    def _charge(self, account: str, **more: int) -> None:
        counts = self._accounts.setdefault(account, dict.fromkeys(Counts.model_fields, 0))
        for name, number in more.items():
            counts[name] += number

    def _report(self) -> None:
        if self._progress:
            self._progress(Progress(self._counts["read_bytes"], self._counts["sent_bytes"]))
