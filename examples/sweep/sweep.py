"""How much of the bottleneck do two senders get, over its delay and the number of their connections?

    python examples/sweep/sweep.py [PICTURE]

Delays are properties of the network, so each has an instance of its own; the number of connections is the agents' affair, so
runs that differ in it alone follow each other in one instance. The same from the command line:

    swapbed sweep examples/dumbbell DELAY=5ms,20ms,80ms FLOWS=1,4 --repeat 2 -S DURATION=5 --plot sweep.png --value flow1.throughput_bps
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import swapbed

DUMBBELL = Path(__file__).resolve().parent.parent / "dumbbell"


def main(picture: Path, delays: tuple[str, ...] = ("5ms", "20ms", "80ms"), flows: tuple[int, ...] = (1, 4), **options: Any) -> Any:
    """What came of it; resumed, if it was interrupted."""
    done = swapbed.sweep(DUMBBELL, {"FLOWS": flows, "DELAY": delays}, resume=True, **options)
    done.plot(picture, "flow1.throughput_bps", x="DELAY")
    return done


if __name__ == "__main__":
    chosen = Path(sys.argv[1] if len(sys.argv) > 1 else "sweep.png")
    for row in main(chosen, repeats=2, DURATION=5).rows():
        print(row)
    print(f"plotted: {chosen}")
