"""A sweep of 100 runs of one instance of four nodes: what each run costs beyond its own duration.

`python -m benchmarks.sweeps [--quick]`: quick has 3 runs, and is not published. Needs root.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.nodes import own_state
from benchmarks.table import Report, Row
from swapbed import sweeping
from swapbed.serving import server

RUNS, QUICK_RUNS = 100, 3
RUN_S = 1.0
TEMPLATE = f"""
parameters:
  COUNT: {{default: 1, type: integer}}
nodes: {{a: , b: , c: , d: }}
links:
  - {{name: ab, endpoints: [a, b], delay: 1ms}}
  - {{name: bc, endpoints: [b, c], delay: 1ms}}
  - {{name: cd, endpoints: [c, d], delay: 1ms}}
agents:
  worker: {{node: a, command: "sleep {RUN_S}; echo RESULT count $COUNT"}}
timeline:
  0s: worker run
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    report = Report("sweeps", "A sweep of one instance")
    with own_state(), tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "four.yml"
        source.write_text(TEMPLATE)
        try:
            server.ensure()
            begun = time.monotonic()
            done = sweeping.sweep(source, {"COUNT": f"1..{QUICK_RUNS if quick else RUNS}"})
            whole_s = time.monotonic() - begun
        finally:
            server.down()
    overheads = [point.overhead_s for point in done.points if point.overhead_s is not None]
    assert len(overheads) == len(done.points), [point.error for point in done.points]
    report.add(Row(f"a run of {RUN_S:g} s: from its definition to its end told, beyond its duration", "s", overheads))
    report.add(Row("the whole sweep for each run, beyond its duration", "s", [whole_s / len(done.points) - RUN_S]))
    report.notes.append(f"{len(done.points)} runs, one after the other, in one instance; making and destroying it, and committing the "
                        "records, is in the second line")
    print(report.text()) if quick else report.publish()


if __name__ == "__main__":
    main()
