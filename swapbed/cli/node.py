"""`exec`, `shell`, `cp` and `capture`: nodes of a living instance."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from swapbed.cli import completion
from swapbed.cli.options import InstanceArgument
from swapbed.present.output import note

if TYPE_CHECKING:
    from swapbed.living.access import Access

WHERE_HELP = "NODE:INTERFACE as the node sees it; LINK, or LINK/NODE, on the wire"
NodeArgument = Annotated[str, typer.Argument(metavar="NODE", autocompletion=completion.nodes)]
UserOption = Annotated[str | None, typer.Option("--user", "-u", help="who runs it in the node; default: root")]
WORDS = {"allow_interspersed_args": False}  # options after the first word are the program's own


def exec_(instance: InstanceArgument, node: NodeArgument,
          command: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="a program and its arguments, or one line for /bin/sh")],
          terminal: Annotated[bool, typer.Option("--terminal", "-t", help="give the program a terminal")] = False,
          user: UserOption = None, directory: Annotated[str | None, typer.Option("--directory", "-d")] = None,
          environment: Annotated[list[str] | None, typer.Option("--environment", "-e", metavar="NAME=VALUE")] = None) -> None:
    """Run a program in a node, on these standard streams; the exit code is the program's. Options go before INSTANCE."""
    from swapbed.living.access import Access

    with Access.to(instance) as access:
        words = command if len(command) > 1 else ["/bin/sh", "-c", command[0]]
        _become_exec(access, node, words, terminal=terminal, user=user, directory=directory, environment=environment or [])


def shell(instance: InstanceArgument, node: NodeArgument, user: UserOption = None) -> None:
    """Open an interactive shell in a node."""
    from swapbed.living.access import Access

    with Access.to(instance) as access:
        _become_exec(access, node, ["/bin/sh", "-c", "exec $(command -v bash || echo sh)"], terminal=sys.stdin.isatty(), user=user,
                     directory=None, environment=[])


def cp(source: Annotated[str, typer.Argument(metavar="SOURCE", help="a path here, or INSTANCE/NODE:PATH")],
       target: Annotated[str, typer.Argument(metavar="TARGET", help="a path here, or INSTANCE/NODE:PATH")]) -> None:
    """Copy a file or tree between this machine and a node, with modes, owners and times."""
    from models.errors import InvalidInput
    from swapbed.living import files
    from swapbed.living.access import Access
    from swapbed.present.progress import progress

    inside = [place for place in (_place(source), _place(target)) if place is not None]
    if len(inside) != 1:
        raise InvalidInput("one of the two must be in a node, and only one", where=f"cp {source} {target}",
                           next="Write a path in a node as INSTANCE/NODE:PATH, one here that looks like that as ./PATH.")
    instance, node, path = inside[0]
    with Access.to(instance) as access, progress() as report:
        if _place(source) is not None:
            left_out = files.get(access, node, path, Path(target), report=report)
        else:
            left_out = files.put(access, node, Path(source), path, report=report)
    for name in left_out:
        note(f"warning: left out, being no file, directory or symbolic link: {name}")


def capture(instance: InstanceArgument,
            where: Annotated[str, typer.Argument(metavar="WHERE", help=WHERE_HELP)],
            filter_: Annotated[str, typer.Option("--filter", "-f", metavar="EXPRESSION", help="as tcpdump has them")] = "",
            write: Annotated[Path | None, typer.Option("--write", "-w", metavar="FILE", help="default: standard output")] = None,
            count: Annotated[int, typer.Option("--count", "-c", min=0, help="end after so many frames (NODE:INTERFACE only)")] = 0,
            snap: Annotated[int, typer.Option("--snap", "-s", metavar="BYTES", min=0, help="of each frame; default: all")] = 0) -> None:
    """Capture frames as pcapng, until interrupted: `swapbed capture net h1:eth1 | wireshark -k -i -`."""
    from models.errors import InvalidInput
    from swapbed.living import captures
    from swapbed.living.access import Access

    if write is None and sys.stdout.isatty():
        raise InvalidInput("pcapng is nothing for a terminal", where="capture",
                           next="Add -w FILE, or pipe it into tcpdump -r - or wireshark.")
    with Access.to(instance) as access:
        node, colon, interface = where.partition(":")
        if colon:
            _become(captures.in_node(access, node, interface, expression=filter_, count=count, snap_bytes=snap), write)
        lan, _, member = where.partition("/")
        captures.on_wire(access, lan, member or None, write, expression=filter_, snap_bytes=snap)


def _become_exec(access: Access, node: str, words: list[str], *, terminal: bool, user: str | None, directory: str | None,
                 environment: list[str]) -> NoReturn:
    from swapbed.living.surroundings import surroundings

    variables = [f"{name}={value}" for name, value in surroundings(access, node).items()] + environment
    options = [*(["-t"] if terminal else []), *(["-u", user] if user else []), *(["-d", directory] if directory else []),
               *(word for variable in variables for word in ("-e", variable))]
    transport = access.where.nodes[node]
    arguments = transport.command(["exec", *options, access.instance_id, node, "--", *words], terminal=terminal)
    access.close()
    os.execvpe(arguments[0], arguments, os.environ | transport.environment)


def _become(command: tuple[list[str], dict[str, str]], write: Path | None) -> NoReturn:
    """That program, its standard output going to the file if one is named."""
    if write is not None:
        fd = os.open(write, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(fd, 1)
    os.execvpe(command[0][0], command[0], command[1])


def _place(text: str) -> tuple[str, str, str] | None:
    """INSTANCE/NODE:PATH; None: a path of this machine."""
    head, colon, path = text.partition(":")
    instance, slash, node = head.partition("/")
    return (instance, node, path) if colon and slash and instance not in ("", ".", "..") and node and "/" not in node else None


def register(app: typer.Typer) -> None:
    app.command("exec", context_settings=WORDS)(exec_)
    app.command(context_settings=WORDS)(shell)
    app.command()(cp)
    app.command()(capture)
