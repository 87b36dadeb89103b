"""`python -m nodeops`: the host agent on standard input and output; with a subcommand, something of one node for people's streams."""

from __future__ import annotations

import sys

from nodeops.agent import serve

if len(sys.argv) == 1:
    serve(sys.stdin.buffer, sys.stdout.buffer)
