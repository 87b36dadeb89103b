"""`swapout`, `swapin` and `checkpoint ls`: instances that leave their hosts and come back."""

from __future__ import annotations

import typer

from swapbed.cli.options import FormatOption, InstanceArgument
from swapbed.present.output import Format, print_json, print_text

group = typer.Typer(no_args_is_help=True, help="What instances were at an instant.")


def swapout(instance: InstanceArgument) -> None:
    """Put a living instance into the store, whole, and free its hosts."""
    from swapbed import swapping
    from swapbed.present.progress import progress

    with progress() as report:
        known = swapping.swapout(instance, report=report)
    print_text(f"{known.row.name} is {known.row.state.replace('_', ' ')}: `swapbed swapin {known.row.name}` brings it back")


def swapin(instance: InstanceArgument) -> None:
    """Have an instance that was swapped out go on."""
    from swapbed import swapping
    from swapbed.present.progress import progress

    with progress() as report:
        known = swapping.swapin(instance, report=report)
    print_text(f"{known.row.name} is {known.row.state}")


@group.command("ls")
def checkpoint_ls(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """List an instance's checkpoints, oldest first."""
    from swapbed import swapping

    rows = [{"id": each.id, "epoch": each.epoch, "state": str(each.state), "virtual_s": (each.virtual_ns or 0) / 1e9,
             "size_bytes": each.size_bytes, "stored_bytes": each.stored_bytes, "root": each.root, "reason": each.reason}
            for each in swapping.checkpoints(instance)]
    if output is Format.JSON:
        print_json(rows)
    else:
        print_text(*(f"{row['id']}  epoch {row['epoch']}  {row['state']}  at {row['virtual_s']:.3f} s  {row['size_bytes']} bytes, "
                     f"{row['stored_bytes']} new" for row in rows))


def register(app: typer.Typer) -> None:
    app.command()(swapout)
    app.command()(swapin)
    app.add_typer(group, name="checkpoint")
