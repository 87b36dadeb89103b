"""Ends the Prefect server and the controller of a session of tests that was killed: its end of our stdin is closed then."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def main() -> None:
    directory = Path(sys.argv[1])
    sys.stdin.read()
    if not directory.exists():
        return
    os.environ["SWAPBED_STATE_DIR"] = str(directory)
    from swapbed.serving import server

    server.down()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
