"""From stopping a run to its record in the store, and to the next run: with hardly any logs, with 32 MB and with 72 MB of them.

`python -m benchmarks.records [--quick]`: quick is the smallest, once, not published. Needs root, tar and zstd. The peer is
`tar -c | zstd -1` of the same files, which neither compares, indexes nor verifies anything.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory import had_from_host
from benchmarks.nodes import own_state
from benchmarks.table import Report, Row
from models.tables import Run
from swapbed import record_verbs
from swapbed.instance import Instance, deploy
from swapbed.record_objects import Record
from swapbed.serving import server

SIZES_MB = (0, 32, 72)
ROUNDS = 5
NEXT_LIMIT_S = 0.3
DRAWING_S = 3.0  # flows draw the records' pictures until then, which the peer must not be kept by
WRITER = """
nodes: {a: {}, b: {}}
links:
  - {name: wire, endpoints: [a, b]}
parameters:
  MEGABYTES: {default: 0, type: integer}
agents:
  writer:
    node: a
    command: "seq -f 'line %.0f of a log that is not quite like the others' 1000000000 | head -c $((MEGABYTES * 1000000)); echo done"
timeline:
  0s: writer run
"""


@dataclass
class Once:
    """Seconds: `stop`; from its return until the next run had begun, and until `start` returned; from the run's end until its record was
    committed, while the next run begins and with nothing beside it; and what the peer took, with nothing beside it."""

    stop_s: float
    next_s: float
    start_s: float
    beside_s: float
    committed_s: float
    peer_s: float


def once(net: Instance, megabytes: int) -> Once:
    net.start(MEGABYTES=megabytes)
    net.wait("idle", timeout_s=120)
    had_from_host()
    begun = time.time()
    run = net.stop()
    stopped = time.time()
    following = net.start(MEGABYTES=0)
    returned = time.time()
    assert following.began_at
    net.wait("idle", timeout_s=60)
    net.stop()
    net.start(MEGABYTES=megabytes)
    net.wait("idle", timeout_s=120)
    time.sleep(DRAWING_S)
    had_from_host()
    alone = net.stop()
    time.sleep(DRAWING_S)
    had_from_host()
    return Once(stopped - begun, following.began_at.timestamp() - stopped, returned - stopped, _committed_s(run), _committed_s(alone),
                _peer(Record(record_verbs.of_run(alone.id))))


def _committed_s(run: Run) -> float:
    row = record_verbs.of_run(run.id).row
    assert row.committed_at and run.ended_at
    return (row.committed_at - run.ended_at).total_seconds()


def _peer(record: Record) -> float:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        files = record.export(Path(directory) / "files")
        begun = time.monotonic()
        subprocess.run(f"tar -c -C {files} . | zstd -q -1 -o {directory}/peer.tar.zst", shell=True, check=True)
        return time.monotonic() - begun


@contextmanager
def _no_server_is_left() -> Iterator[None]:
    try:
        yield
    finally:
        server.down()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    report = Report("records", "Stopping a run, and its record")
    with own_state(), _no_server_is_left(), tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "writer.yml"
        source.write_text(WRITER)
        with deploy(source) as net:
            net.wait("idle", timeout_s=60)
            net.stop()
            for megabytes in SIZES_MB[:1] if quick else SIZES_MB:
                rounds = [once(net, megabytes) for _ in range(1 if quick else ROUNDS)]
                logs = f"{megabytes} MB of logs" if megabytes else "hardly any logs"
                report.add(Row(f"`run stop`, {logs}", "s", [one.stop_s for one in rounds]))
                report.add(Row(f"until the next run has begun, {logs}", "s", [one.next_s for one in rounds], (NEXT_LIMIT_S,), "limit"))
                report.add(Row(f"until `run start` returns, {logs}", "s", [one.start_s for one in rounds]))
                peers, alone, beside = ([getattr(one, which) for one in rounds] for which in ("peer_s", "committed_s", "beside_s"))
                for how, taken in (("", alone), (" while the next run begins", beside)):
                    report.add(Row(f"from the run's end to its record committed, {logs}{how}", "s", taken, peers, "tar -c, zstd -1"))
    report.notes.append("the peer has the processors to itself; a record that is committed while the next run begins shares them with it")
    report.notes.append("before each of both, 2 GiB of memory were taken and given back: a virtual machine gets pages from its host when "
                        "it touches them, which here took 12 µs each, up to 0.1 s more for one record")
    print(report.text()) if quick else report.publish()


if __name__ == "__main__":
    main()
