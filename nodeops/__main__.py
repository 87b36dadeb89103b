"""`python -m nodeops`: the host agent, on standard input and output. With a subcommand, one thing of one node on a person's own streams.

    exec INSTANCE NODE [-t] [-u USER] [-d DIRECTORY] [-e NAME=VALUE] -- COMMAND…     exit code: the program's
    connect INSTANCE NODE                      a byte stream to the node's init
    capture INSTANCE NODE INTERFACE [-f FILTER] [-c FRAMES] [-s SNAP_BYTES]      pcapng on standard output
    capture-lan INSTANCE LAN [-m MEMBER] [-f FILTER] [-c FRAMES] [-s SNAP_BYTES]

INSTANCE is an id, or the instance's directory. Each imports only what it needs: somebody waits for it at a prompt.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from models.errors import SwapbedError
from nodeops.layout import InstanceLayout, NodeLayout


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nodeops")
    subcommands = parser.add_subparsers(dest="subcommand", required=True)
    execute, connect, watch, watch_lan = (subcommands.add_parser(name) for name in ("exec", "connect", "capture", "capture-lan"))
    for each in (execute, connect, watch, watch_lan):
        each.add_argument("instance")
        each.add_argument("lan" if each is watch_lan else "node")
    execute.add_argument("-t", "--terminal", action="store_true")
    execute.add_argument("-u", "--user")
    execute.add_argument("-d", "--directory")
    execute.add_argument("-e", "--environment", action="append", default=[], metavar="NAME=VALUE")
    execute.add_argument("command", nargs="+")
    watch.add_argument("interface")
    watch_lan.add_argument("-m", "--member")
    for each in (watch, watch_lan):
        each.add_argument("-f", "--filter", default="")
        each.add_argument("-c", "--count", type=int, default=0)
        each.add_argument("-s", "--snap-bytes", type=int, default=0)
    return parser.parse_args(words)


def _run(arguments: argparse.Namespace) -> int:
    layout = _layout(arguments.instance)
    if arguments.subcommand.startswith("capture"):
        return _capture(layout, arguments)
    if arguments.subcommand == "connect":
        from nodeops.bridge import carry

        carry(layout.node(arguments.node))
        return 0
    return _execute(layout.node(arguments.node), arguments)


def _layout(instance: str) -> InstanceLayout:
    if "/" in instance:
        return InstanceLayout(Path(instance))
    from nodeops.instance import layout_of

    return layout_of(instance)


def _capture(layout: InstanceLayout, arguments: argparse.Namespace) -> int:
    from nodeops.capture import capture, capture_lan

    if arguments.subcommand == "capture-lan":
        return capture_lan(layout, arguments.lan, sys.stdout.buffer, member=arguments.member, expression=arguments.filter,
                           count=arguments.count, snap_bytes=arguments.snap_bytes)
    return capture(layout.node(arguments.node), arguments.interface, sys.stdout.buffer, expression=arguments.filter,
                   count=arguments.count, snap_bytes=arguments.snap_bytes)


def _execute(node: NodeLayout, arguments: argparse.Namespace) -> int:
    from nodeops.init.client import InitClient
    from nodeops.reach import init_socket
    from nodeops.terminal import attach

    @contextmanager
    def connect() -> Iterator[InitClient]:
        with init_socket(node) as path, InitClient(path) as client:
            yield client

    environment = dict(text.partition("=")[::2] for text in arguments.environment)
    return attach(connect, arguments.command, terminal=arguments.terminal, environment=environment, directory=arguments.directory,
                  user=arguments.user)


def main(words: Sequence[str]) -> int:
    if not words:
        from nodeops.agent import serve

        serve(sys.stdin.buffer, sys.stdout.buffer)
        os._exit(0)  # taking itself apart, Python would take a tenth of a second, for which a flow's end would wait
    try:
        return _run(_arguments(words))
    except SwapbedError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
