"""The command `swapbed`. One file per noun; each imports what it needs when it is called, so that `--help` is quick."""

from __future__ import annotations

import atexit
import gc
import os
import sys


def main() -> None:
    """Entry point. The exit codes are those of `models.errors`, 2 for a malformed command line, 130 when interrupted."""
    # Imports make objects that stay: to search them for garbage, on the way and at the end, takes half as long as all the rest of it.
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")  # saves pydantic a search through everything that is installed
    from swapbed.cli import options
    from swapbed.cli.tree import app
    from swapbed.present.failure import show

    try:
        app(prog_name="swapbed")
    except Exception as error:
        sys.exit(show(error, options.chosen))
