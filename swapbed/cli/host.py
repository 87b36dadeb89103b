"""`doctor`: what hosts can and cannot do."""

from __future__ import annotations

from typing import Annotated

import typer

from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, print_json, print_text


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
