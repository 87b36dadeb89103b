"""What a user waits for: `swapbed deploy` and `swapbed destroy` as commands; and how much of it is work, Prefect, and command.

`python -m benchmarks.commands [--quick]`: quick is a look with few nodes, once, not published. Needs root; `mn`, if it is to be compared.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.nodes import mininet, own_state, settle
from benchmarks.table import Report, Row
from languages.evaluate import Source, evaluate
from models.database import writing
from models.instances import define_instance
from models.protocol.control import Nothing
from models.protocol.host import ChangeInstance, Create, InstanceStatus
from models.spec import Spec
from models.templates import commit_source, project_named
from nodeops.forked_agent import ForkedAgent
from nodeops.session import HostSession
from swapbed.serving import server
from swapbed.serving.launch import launch

SWAPBED = Path(sys.executable).with_name("swapbed")
LAN = """
nodes:
  n${i}: {each: {i: "1..%d"}}
lans:
  lan: {members: [n*]}
"""


@dataclass
class Once:
    """Seconds of one deploy and destroy: as two commands, as flows launched by a process that has everything imported, as work alone."""

    commands_s: float
    flows_s: float
    work_s: float


def timed(what: Callable[[], object]) -> float:
    began = time.perf_counter()
    what()
    return time.perf_counter() - began


def commands(source: Path, name: str) -> None:
    for arguments in (("deploy", str(source), "--no-run", "--name", name), ("destroy", name)):
        subprocess.run([SWAPBED, *arguments], check=True, capture_output=True)


def flows(source: Source, spec: Spec) -> None:
    with writing() as session:
        project = project_named(session, "default")
        template = commit_source(session, project, name="lan", language="yaml", source=source.text, source_name="lan.yml",
                                 created_by="benchmark")
        instance = define_instance(session, project, template, spec, start_run=False, created_by="benchmark")
    launch("instantiate", instance_id=instance.id)
    launch("destroy", instance_id=instance.id)


def work(spec: Spec) -> None:
    for operation, wanted, gives in (("create", Create(instance="i-benchmark", name="benchmark", spec=spec), InstanceStatus),
                                     ("destroy", ChangeInstance(instance="i-benchmark"), Nothing)):
        with HostSession(agent=ForkedAgent()) as session:  # one each, as each flow has its own
            session.do(operation, wanted, gives)


def measure(count: int, directory: Path) -> Once:
    path = directory / "lan.yml"
    path.write_text(LAN % count)
    source = Source.read(path)
    spec = evaluate(source).spec
    parts = []
    for what in (lambda: commands(path, "lan"), lambda: flows(source, spec), lambda: work(spec)):
        settle()
        parts.append(timed(what))
    return Once(*parts)


def starts() -> tuple[float, float]:
    """Seconds until server and controller are there: for the first time, and again."""
    first = timed(server.ensure)
    server.down()
    return first, timed(server.ensure)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    report = Report("commands", "Commands, Prefect and the work")
    with own_state() as directory:
        try:
            first, again = starts()
            for count, repetitions in ((2, 1),) if quick else ((1, 5), (100, 5)):
                commands(_one(directory), "warm")  # the first flow of a controller waits for its imports
                runs = [measure(count, directory) for _ in range(repetitions)]
                peer = [mininet(count) for _ in range(repetitions)] if shutil.which("mn") and count == 100 else []
                _rows(report, count, runs, peer)
        finally:
            server.down()
    report.add(Row("Prefect server and controller, first start of an installation", "s", [first]))
    report.add(Row("– any later start", "s", [again]))
    report.notes.append("Each is a deploy and a destroy together. Flows are launched by a process that has everything imported: their "
                        "difference to the work is Prefect, controller and database, that to the commands is twice Python and its imports.")
    if quick:
        print(report.text())
    else:
        report.publish()


def _one(directory: Path) -> Path:
    path = directory / "warm.yml"
    path.write_text("nodes:\n  a: {}\n")
    return path


def _rows(report: Report, count: int, runs: list[Once], peer: list[float]) -> None:
    nodes = f"{count} node" if count == 1 else f"{count} nodes"
    report.add(Row(f"`swapbed deploy` and `swapbed destroy`, {nodes}", "s", [run.commands_s for run in runs], peer, "mn, lxbr"))
    report.add(Row(f"– of that, the work ({nodes})", "s", [run.work_s for run in runs], peer, "mn, lxbr"))
    report.add(Row(f"– Prefect, controller, database ({nodes})", "s", [run.flows_s - run.work_s for run in runs]))
    report.add(Row(f"– the commands ({nodes})", "s", [run.commands_s - run.flows_s for run in runs]))


if __name__ == "__main__":
    main()
