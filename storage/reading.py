"""Reading chunks from a source: runs of packs in parallel, every chunk verified, other copies tried where one is bad.

Memory: at most CONNECTIONS + 1 runs and what the caller has not taken yet of them; how long a run is says `storage.channel`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from models.errors import Corrupt, NotFound, StoreUnavailable, SwapbedError
from storage.channel import ChunkSource, Node, Run
from storage.nodes import Kind
from storage.pack import read_frame

CONNECTIONS = 4
Take = Callable[[bytes, bytes], None]
"""Is given a chunk's name and its verified bytes."""
Outcome = tuple[list[tuple[bytes, bytes]], dict[bytes, SwapbedError]]
"""Of one run: chunks by name, and the names of those that could not be had, with why."""


class Reader:
    """Reads through one source with its own threads; use as a context manager."""

    def __init__(self, source: ChunkSource, connections: int = CONNECTIONS):
        self.source, self.connections = source, connections
        self._pool = ThreadPoolExecutor(connections, thread_name_prefix="swapbed-read")

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def chunks(self, parents: Sequence[Node], only: Collection[bytes] | None = None) -> Iterator[tuple[bytes, bytes]]:
        """The children of these nodes, or only some: (hash, verified bytes), each once, in any order.

        Raises Corrupt, naming the chunk and a parent of it, if one cannot be had anywhere.
        """
        return self._chunks(parents, only, None)

    def deliver(self, parents: Sequence[Node], only: Collection[bytes], take: Take) -> None:
        """The same, but take is called from the threads that read, several at a time: what it does with the bytes overlaps, too."""
        for name, data in self._chunks(parents, only, take):
            take(name, data)

    def _chunks(self, parents: Sequence[Node], only: Collection[bytes] | None, take: Take | None) -> Iterator[tuple[bytes, bytes]]:
        wanted = None if only is None else set(only)
        runs = self.source.open(parents, wanted)
        missing = wanted - {chunk.hash for run in runs for chunk in run.chunks} if wanted is not None else set()
        failed: dict[bytes, SwapbedError] = {}
        for good, bad in self._read_all(runs, take):
            failed.update(bad)
            yield from good
        for name in missing:
            failed[name] = NotFound("no pack has it")
        if failed:
            yield from self._elsewhere(parents, failed, {run.pack for run in runs if {c.hash for c in run.chunks} & failed.keys()})

    def node(self, kind: Kind, name: bytes, parents: Sequence[Node] = ()) -> bytes:
        """One node, by its parents."""
        return next(data for found, data in self.chunks(parents, [name]) if found == name)

    def _read_all(self, runs: Sequence[Run], take: Take | None) -> Iterator[Outcome]:
        """In their order, some read ahead; a single one without a thread."""
        if len(runs) == 1:
            yield self._read(runs[0], take)
            return
        waiting: deque[Future[Outcome]] = deque()
        for run in runs:
            waiting.append(self._pool.submit(self._read, run, take))
            if len(waiting) > self.connections:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _read(self, run: Run, take: Take | None = None) -> Outcome:
        """What is taken is not in the outcome."""
        where = f"pack {run.pack}"
        try:
            data = memoryview(self.source.fetch(run))
        except StoreUnavailable:
            raise
        except (NotFound, Corrupt) as error:
            return [], {chunk.hash: error for chunk in run.chunks}
        good: list[tuple[bytes, bytes]] = []
        bad: dict[bytes, SwapbedError] = {}
        for chunk in run.chunks:
            at = chunk.offset - run.start
            try:
                found = read_frame(data[at:at + chunk.stored_bytes], chunk.hash, chunk.raw_bytes, where)
            except Corrupt as error:
                bad[chunk.hash] = error
                continue
            if take is not None:
                take(chunk.hash, found)
            else:
                good.append((chunk.hash, found))
        return good, bad

    def _elsewhere(self, parents: Sequence[Node], failed: dict[bytes, SwapbedError], avoid: set[str]) -> Iterator[tuple[bytes, bytes]]:
        """Other copies of what could not be read, until there are none."""
        while failed:
            runs = self.source.open(parents, failed.keys(), avoid)
            if not runs:
                raise _lost(failed, parents)
            for run in runs:
                good, bad = self._read(run)
                for name, data in good:
                    if failed.pop(name, None) is not None:
                        yield name, data
                if bad:
                    avoid = avoid | {run.pack}


def _lost(failed: dict[bytes, SwapbedError], parents: Sequence[Node]) -> Corrupt:
    name, error = next(iter(failed.items()))
    need = ", ".join(f"{kind.name.lower()} {node.hex()[:16]}…" for kind, node in parents[:3]) or "the manifest itself"
    more = f" and {len(failed) - 1} others" if len(failed) > 1 else ""
    place = f" ({error.where}: {error.what})" if error.where else f" ({error.what})"
    return Corrupt(f"chunk {name.hex()}{more} is lost{place}", where=f"needed by {need}",
                   next="`swapbed store check --deep` tells what else needs it; storing the source again repairs it")
