"""The workbench's lists with many templates, runs and records in the database: `log`, `record ls`, `search`.

`python -m benchmarks.workbench [--quick]`: quick has a hundredth of the rows, once, and is not published. Needs root; makes no instance.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert

from benchmarks.table import Report, Row
from models.database import writing
from models.spec import Node, Spec
from models.states import InstanceState, RecordState, RunOutcome, RunState
from models.tables import Instance, Record, Run, Template
from models.tables.columns import now
from models.templates import project_named, store_spec

TEMPLATES, RUNS, RUNS_OF_INSTANCE, TREES = 10_000, 100_000, 100, 100
LIMIT_S = 1.0
QUERIES = ("delay > 10ms and outcome = ok", "flows = 7 and not outcome = failed", "template = study3 and lasted > 20s",
           "throughput > 5e6 and outcome = ok")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    scale = 100 if quick else 1
    place = Path(tempfile.mkdtemp(prefix="swapbed-bench-", dir="/var/tmp"))
    os.environ["SWAPBED_STATE_DIR"] = str(place)
    try:
        fill(TEMPLATES // scale, RUNS // scale)
        report = measure(1 if quick else 5)
        report.notes.append(f"{TEMPLATES // scale:,} templates in {min(TREES, TEMPLATES // scale)} trees, {RUNS // scale:,} runs, each with"
                            " a record; SQLite; in one Python process, without its start")
        print(report.text()) if quick else report.publish()
    finally:
        shutil.rmtree(place)


def measure(times: int) -> Report:
    from swapbed import record_verbs, templates
    from swapbed.searching.runs import search

    report = Report("workbench", "Lists of the workbench")
    cases: dict[str, Callable[[], object]] = {
        "template log, all trees": lambda: templates.log().text(),
        "template log, one tree": lambda: templates.log("study3").text(),
        "record ls, one instance": lambda: record_verbs.all_of("net3"),
        **{f"search '{query}'": lambda query=query: search(query) for query in QUERIES},
        "record ls": lambda: (record_verbs.all_of(limit=100), record_verbs.count_of()),
        "record ls -n 1000": lambda: (record_verbs.all_of(limit=1000), record_verbs.count_of())}
    for what, work in cases.items():
        values = []
        for _ in range(times):
            begin = time.perf_counter()
            work()
            values.append(time.perf_counter() - begin)
        report.add(Row(what, "s", values, (LIMIT_S,), "limit"))
    return report


def fill(templates: int, runs: int) -> None:
    """Bulk statements: rows as the verbs would leave them."""
    with writing() as session:
        project = project_named(session, "default")
        spec = store_spec(session, project.id, Spec(nodes=(Node(name="a"),)))
        common = {"project_id": project.id, "created_by": "root"}
        session.connection().execute(insert(Template), [
            {**common, "id": f"t-{n:010}", "digest": f"{n:064x}", "parent_id": f"t-{parent:010}" if parent >= 0 else None,
             "root_id": f"t-{n % TREES:010}", "number": n // TREES + 1, "name": f"study{n % TREES}", "language": "yaml",
             "source": "nodes: {a: }", "source_name": "study.yml", "externals": [], "parameters": []}
            for n in range(templates) for parent in (n - TREES * (1 + n % 3),)])
        session.connection().execute(insert(Instance), [
            {**common, "id": f"i-{n:010}", "template_id": f"t-{n % templates:010}", "spec_id": spec.id, "name": f"net{n}", "seed": n,
             "state": InstanceState.DESTROYED, "parameters": {}, "incarnation": "", "ended_at": now()}
            for n in range(max(1, runs // RUNS_OF_INSTANCE))])
        session.connection().execute(insert(Run), [
            {"id": f"r-{n:010}", "instance_id": f"i-{n // RUNS_OF_INSTANCE:010}", "number": n % RUNS_OF_INSTANCE + 1, "created_by": "root",
             "template_id": f"t-{n // RUNS_OF_INSTANCE % templates:010}", "spec_id": spec.id, "state": RunState.OVER, "inputs": [],
             "outcome": RunOutcome.FAILED if n % 7 == 0 else RunOutcome.OK, "begin_ns": 0, "end_ns": n % 60 * 10**9,
             "parameters": {"delay": f"{n % 50}ms", "flows": str(n % 16)}, "created_at": now() + timedelta(seconds=n)}
            for n in range(runs)])
        session.connection().execute(insert(Record), [
            {**common, "id": f"rec-{n:010}", "run_id": f"r-{n:010}", "state": RecordState.FINAL, "root": f"{n:064x}",
             "summary": {"results": {"throughput": str(n * 37 % 10**7), "lost": str(n % 9)}, "placement": {"a": "here"}}, "rules": {}}
            for n in range(runs)])


if __name__ == "__main__":
    main()
