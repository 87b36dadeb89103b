"""`host` and `doctor`: which machines nodes are placed on, and what those can and cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, print_json, print_text

if TYPE_CHECKING:
    from swapbed.hosts import KnownHost

HostArgument = Annotated[str, typer.Argument(metavar="HOST", help="a host's name")]
group = typer.Typer(no_args_is_help=True, help="Machines that nodes are placed on.")


@group.command("ls")
def list_(output: FormatOption = Format.TABLE) -> None:
    """List the hosts: how they are reached, what they carry and may carry."""
    from swapbed import hosts

    _show(hosts.hosts(), output)


@group.command()
def add(name: HostArgument,
        address: Annotated[str | None, typer.Option(metavar="DESTINATION", help="for ssh, which must not ask; default: this one")] = None,
        python: Annotated[str | None, typer.Option(metavar="PATH", help="Swapbed's interpreter there")] = None,
        nodes: Annotated[int | None, typer.Option(help="how many nodes it may carry; default: any number")] = None,
        cpus: Annotated[float | None, typer.Option(help="how many processors may be promised to nodes")] = None,
        memory: Annotated[str | None, typer.Option(metavar="SIZE", help="how much memory may be promised to nodes, as 240GiB")] = None,
        output: FormatOption = Format.TABLE) -> None:
    """Name a machine that nodes may be placed on, or describe one anew. `swapbed doctor` tells whether it can be used."""
    from swapbed import hosts

    _show([hosts.add(name, address=address, python=python, nodes=nodes, cpus=cpus, memory=memory)], output)


@group.command()
def drain(host: HostArgument, output: FormatOption = Format.TABLE) -> None:
    """Have a host keep what it has, and get nothing new."""
    from swapbed import hosts

    _show([hosts.drain(host)], output)


@group.command()
def undrain(host: HostArgument, output: FormatOption = Format.TABLE) -> None:
    """Let a host get nodes again."""
    from swapbed import hosts

    _show([hosts.undrain(host)], output)


@group.command()
def apply(file: Annotated[Path, typer.Argument(metavar="FILE", help="as deployments/hosts.toml")],
          output: FormatOption = Format.TABLE) -> None:
    """Have the hosts be those of a file; others are drained."""
    from swapbed import hosts

    _show(hosts.apply(file), output)


def _show(known: Sequence[KnownHost], output: Format) -> None:
    from swapbed.present import units
    from swapbed.present.output import table

    if output is Format.JSON:
        print_json(known)
        return
    print_text(table(None, ("host", "reached by", "state", "#nodes", "#of at most", "#processors", "#memory"), [
        (one.name, one.address or "this machine", one.state, one.nodes, "" if one.nodes_limit is None else one.nodes_limit,
         "" if one.cpus_limit is None else f"{one.cpus_limit:g}",
         "" if one.memory_limit_bytes is None else units.size(one.memory_limit_bytes)) for one in known]))


def doctor(reap: Annotated[bool, typer.Option("--reap", help="destroy what crashes left on the hosts")] = False,
           output: FormatOption = Format.TABLE) -> None:
    """Tell what the hosts can and cannot do, and what crashes left on them. Exit code 6 if one cannot be used."""
    from swapbed.doctor import examine
    from swapbed.present.output import table
    from swapbed.present.progress import progress

    with progress() as report:
        report("examining hosts", 0, 0)
        examined = examine(reap=reap)
    if output is Format.JSON:
        print_json(examined)
    for host in examined if output is Format.TABLE else ():
        print_text(table(host.host, ("", "check", "finding", "what would mend it"),
                         [(check.status, check.name, check.what, check.next) for check in host.checks]))
        if host.reaped:
            print_text(f"destroyed: {', '.join(host.reaped)}")
        elif host.orphans:
            print_text(f"left by crashes: {', '.join(host.orphans)} (`swapbed doctor --reap` destroys them)")
    if any(check.status == "fail" for host in examined for check in host.checks):
        raise typer.Exit(6)


def register(app: typer.Typer) -> None:
    app.command()(doctor)
    app.add_typer(group, name="host")
