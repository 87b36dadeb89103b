"""What a benchmark prints and what docs/benchmarks.md shows: medians with their spread, beside a limit or somebody else's figure.

Each benchmark owns one section of the page, between two comment lines with its name, and replaces that alone.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEAD = "# Benchmarks\n\nEach section is written by the script it names; medians, with the smallest and largest of the repetitions.\n"


@dataclass(frozen=True)
class Row:
    """values: one per repetition. against: what the median is divided by in the last column: a peer's or a limit's values, and whose."""

    what: str
    unit: str
    values: Sequence[float]
    against: Sequence[float] = ()
    whose: str = ""

    def cells(self) -> list[str]:
        middle = median(self.values)
        spread = f"{number(min(self.values))} – {number(max(self.values))}"
        other = median(self.against) if self.against else 0
        beside = [f"{number(other)} {self.unit} ({self.whose})", number(middle / other)] if other else ["", ""]
        return [self.what, f"{number(middle)} {self.unit}", spread, str(len(self.values)), *beside]


@dataclass
class Report:
    """One benchmark's section. name: of its script, without suffix."""

    name: str
    title: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Also said at once, for who watches."""
        self.rows.append(row)
        print(" | ".join(cell for cell in row.cells() if cell), file=sys.stderr, flush=True)

    def text(self) -> str:
        columns = ["what", "median", "smallest – largest", "n", "against", "ratio"]
        lines = [columns, ["---", "---:", "---", "---:", "---", "---:"], *(row.cells() for row in self.rows)]
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        notes = "".join(f"\n- {note}" for note in self.notes)
        return f"## {self.title}\n\n`python -m benchmarks.{self.name}`, {machine()}\n\n{table}\n{notes}\n"

    def publish(self, page: Path = PAGE) -> None:
        """Print, and put in place of this benchmark's former section."""
        print(self.text())
        begin, end = f"<!-- {self.name}: begin -->", f"<!-- {self.name}: end -->"
        section = f"{begin}\n{self.text()}\n{end}"
        old = page.read_text() if page.exists() else HEAD
        found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", old, re.S)
        new = old[:found.start()] + section + old[found.end():] if found else f"{old.rstrip()}\n\n{section}\n"
        page.parent.mkdir(exist_ok=True)
        page.write_text(new)


def machine() -> str:
    """CPU, memory, kernel and day, for the reader who compares."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{os.cpu_count()} × {model[1] if model else platform.machine()}, {memory_gib:.0f} GiB, Linux {platform.release()}, "
            f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}")


def number(value: float) -> str:
    """Three significant digits, thousands apart, never in powers of ten."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - int(f"{abs(value):e}".split("e")[1]))
    return f"{value:.{min(digits, 6)}f}"
