"""`mend`: a living instance in which something has died."""

from __future__ import annotations

from typing import Annotated

import typer

from swapbed.cli.options import FormatOption, InstanceArgument
from swapbed.present.output import Format, print_json, print_text

NodesArgument = Annotated[list[str] | None, typer.Argument(metavar="NODE...", help="only these; default: all that are dead")]


def mend(instance: InstanceArgument, nodes: NodesArgument = None, output: FormatOption = Format.TABLE) -> None:
    """Start again what is dead of an instance: nodes, wires, conductor."""
    from swapbed.living import mending
    from swapbed.present.progress import progress

    with progress() as report:
        restarted = mending.mend(instance, nodes or (), report=report)
    if output is Format.JSON:
        print_json({"instance": instance, "restarted": list(restarted)})
    else:
        print_text(f"{instance}: {', '.join(restarted)} started again" if restarted else f"{instance}: nothing was dead")


def register(app: typer.Typer) -> None:
    app.command()(mend)
