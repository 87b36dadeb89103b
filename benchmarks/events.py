"""How punctual events are, how quickly programs start, and what a conductor costs.

`python -m benchmarks.events [--quick]`: quick is a look with few nodes, once, not published. Needs root.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.nodes import one_lan, own_state
from benchmarks.table import Report, Row
from models.protocol.conductor import ActivityLine, StartRun
from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.spec import ProgramAgent, Spec, TimedEvent
from nodeops.conductor.client import ConductorClient
from nodeops.daemons import identity_of
from nodeops.instance import layout_of
from nodeops.session import Here, HostSession

INSTANCE = "i-benchmark"
SPREAD_EVENTS, SPREAD_S = 200, 10.0
AT_ONCE = 1000
MS = 1e6


@contextmanager
def conducted(spec: Spec) -> Iterator[ConductorClient]:
    with own_state(), HostSession(Here()) as session:
        session.do("create", Create(instance=INSTANCE, name="benchmark", spec=spec, daemons=("wires", "conductor")), InstanceStatus)
        try:
            with ConductorClient(layout_of(INSTANCE)) as client:
                yield client
        finally:
            session.call("destroy", ChangeInstance(instance=INSTANCE))


def with_programs(nodes: int, events_at_s: list[float]) -> Spec:
    """One program for each event, on the nodes in turn."""
    base = one_lan(nodes)
    agents = tuple(ProgramAgent(name=f"p{i}", node=f"n{i % nodes}", command="exit 0", expected_exit_code=0)
                   for i in range(len(events_at_s)))
    events = tuple(TimedEvent(at_s=at, target=agent.name, verb="start") for at, agent in zip(events_at_s, agents, strict=True))
    return base.model_copy(update={"agents": agents, "events": events})


def run(client: ConductorClient) -> dict[str, list[ActivityLine]]:
    """Lines by kind."""
    client.start_run(StartRun(number=1))
    client.wait("idle", 300)
    found: dict[str, list[ActivityLine]] = {}
    for line in client.events():
        found.setdefault(line.kind, []).append(line)
    return found


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def spread(report: Report, repetitions: int) -> None:
    late_p50, late_p99, start = [], [], []
    for _ in range(repetitions):
        with conducted(with_programs(10, [1 + i * SPREAD_S / SPREAD_EVENTS for i in range(SPREAD_EVENTS)])) as client:
            found = run(client)
        late = [(line.actual_ns - (line.planned_ns or 0)) / MS for line in found["fired"]]
        fired = {line.token: line.actual_ns for line in found["fired"]}
        late_p50.append(percentile(late, 0.5))
        late_p99.append(percentile(late, 0.99))
        start.append(percentile([(line.actual_ns - fired[line.token]) / MS for line in found["started"]], 0.5))
    report.add(Row("event fired late, p50", "ms", late_p50))
    report.add(Row("event fired late, p99", "ms", late_p99))
    report.add(Row("from firing to the program's exec, p50", "ms", start))


def at_once(report: Report, nodes: int, repetitions: int) -> None:
    last, busy = [], []
    for _ in range(repetitions):
        with conducted(with_programs(nodes, [1.0] * AT_ONCE)) as client:
            before = processor_s(client)
            found = run(client)
            busy.append(processor_s(client) - before)
        last.append(max(line.actual_ns - (found["fired"][0].planned_ns or 0) for line in found["started"]) / MS)
    report.add(Row(f"{AT_ONCE} programs at one instant on {nodes} nodes: the last starts", "ms", last))
    report.add(Row("… and the conductor's processor time, all in all", "s", busy))


def many_nodes(report: Report, nodes: int, repetitions: int) -> None:
    begin, end, memory = [], [], []
    for _ in range(repetitions):
        with conducted(with_programs(nodes, [0.5] * nodes)) as client:
            client.connect()
            began = time.perf_counter()
            client.start_run(StartRun(number=1))
            begin.append((time.perf_counter() - began) * 1e3)
            client.wait("idle", 300)
            began = time.perf_counter()
            client.stop_run()
            end.append((time.perf_counter() - began) * 1e3)
            memory.append(resident_bytes(client) / 2**20)
    report.add(Row(f"begin a run on {nodes} nodes", "ms", begin))
    report.add(Row("… end it, each node's logs put away", "ms", end))
    report.add(Row("… memory of the conductor", "MiB", memory))


def processor_s(client: ConductorClient) -> float:
    fields = Path(f"/proc/{_pid(client)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(client: ConductorClient) -> int:
    return int(Path(f"/proc/{_pid(client)}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _pid(client: ConductorClient) -> int:
    identity = identity_of(client.layout, "conductor")
    assert identity is not None
    return identity.pid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    repetitions = 1 if quick else 5
    report = Report("events", "Events and programs")
    spread(report, repetitions)
    at_once(report, 10, repetitions)
    many_nodes(report, 20 if quick else 1000, 1 if quick else 3)
    report.notes.append("Late: virtual time of firing less planned time. The program's exec: as its node's clock says.")
    if quick:
        print(report.text())
    else:
        report.publish()


if __name__ == "__main__":
    main()
