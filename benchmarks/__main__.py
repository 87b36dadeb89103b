"""Every table of docs/benchmarks.md, one benchmark after the other: `python -m benchmarks [NAME …]`. Needs root and a quiet machine."""

from __future__ import annotations

import subprocess
import sys

PUBLISHED = ("nodes", "wires", "commands", "events", "records", "workbench", "sweeps", "store_peers",
             "store_limits", "store_records", "store_chunks", "store_catalog", "swap", "handoff", "swap_transparency", "swap_clocks",
             "collecting")


def main(names: list[str]) -> int:
    """The exit code of the first that fails; the others run all the same."""
    codes = [subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode for name in names or PUBLISHED]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
