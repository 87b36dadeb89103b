"""`swapout`, `swapin`, `handoff`, `fork` and `checkpoint`: instances that leave their hosts, come back, and branch."""

from __future__ import annotations

from typing import Annotated

import typer

from swapbed.cli import completion
from swapbed.cli.options import FormatOption, InstanceArgument, ParameterOption
from swapbed.present.output import Format, print_json, print_text

BackOption = Annotated[str | None, typer.Option("--host", metavar="HOST",
                                                help="where it goes on; default: where it was, or another host if that cannot have it")]
CheckpointArgument = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="an id, INSTANCE/EPOCH, or INSTANCE for its newest")]
group = typer.Typer(no_args_is_help=True, help="What instances were at an instant.")


def swapout(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """Put a living instance into the store, whole, and free its hosts."""
    from swapbed.living import swapping
    from swapbed.present import instances
    from swapbed.present.progress import progress

    with progress() as report:
        known = swapping.swapout(instance, report=report)
    if output is Format.JSON:
        print_json(instances.of(known))
    else:
        print_text(f"{known.row.name} is {known.row.state.replace('_', ' ')}: `swapbed swapin {known.row.name}` brings it back")


def swapin(instance: InstanceArgument,
           checkpoint: Annotated[str | None, typer.Option(metavar="CHECKPOINT", help="an earlier one of the same run")] = None,
           host: BackOption = None, output: FormatOption = Format.TABLE) -> None:
    """Have an instance that was swapped out go on."""
    from swapbed.living import swapping
    from swapbed.present import instances
    from swapbed.present.progress import progress

    with progress() as report:
        known = swapping.swapin(instance, checkpoint=checkpoint, host=host, report=report)
    if output is Format.JSON:
        print_json(instances.of(known))
    else:
        print_text(instances.sentence(instances.of(known), known.spec))


def handoff(leaving: Annotated[str, typer.Argument(metavar="OUT", help="an instance that is up", autocompletion=completion.instances)],
            coming: Annotated[str, typer.Argument(metavar="IN", help="one that is swapped out", autocompletion=completion.instances)],
            output: FormatOption = Format.TABLE) -> None:
    """Put a living instance into the store, and have one that was swapped out go on in its place.

    The host is idle only while OUT is captured and IN restored: IN is fetched while OUT goes on, and OUT is stored while IN does.
    """
    from swapbed.living import swapping
    from swapbed.present import instances
    from swapbed.present.progress import progress

    with progress() as report:
        shown = instances.handed_off(done := swapping.handoff(leaving, coming, report=report))
    if output is Format.JSON:
        print_json(shown)
    else:
        print_text(*instances.sentences_of(shown, done.came.spec))


def fork(checkpoint: CheckpointArgument, parameters: ParameterOption = None,
         name: Annotated[str | None, typer.Option("--name", "-n", help="a DNS label; default: the template's with a number")] = None,
         host: BackOption = None, output: FormatOption = Format.TABLE) -> None:
    """Start a checkpoint as a new instance beside the living one.

    Values given with -S hold for all that is started in it from now on; what runs in it already keeps the values it was started with.
    """
    from swapbed.living import checkpoint_verbs
    from swapbed.present import instances
    from swapbed.present.progress import progress
    from swapbed.sources.source import assignments

    with progress() as report:
        known = checkpoint_verbs.fork(checkpoint, name=name, parameters=assignments(parameters), host=host, report=report)
    if output is Format.JSON:
        print_json(instances.of(known))
    else:
        print_text(instances.sentence(instances.of(known), known.spec))


@group.command()
def create(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """Save a living instance, whole, while it goes on."""
    from swapbed.living import checkpoint_verbs
    from swapbed.present import checkpoints
    from swapbed.present.progress import progress

    with progress() as report:
        shown = checkpoints.of(checkpoint_verbs.create(instance, report=report))
    if output is Format.JSON:
        print_json(shown)
    else:
        print_text(checkpoints.sentence(shown))


@group.command("ls")
def list_(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """List an instance's checkpoints, oldest first."""
    from swapbed.living import checkpoint_verbs
    from swapbed.present import checkpoints

    shown = [checkpoints.of(one) for one in checkpoint_verbs.all_of(instance)]
    if output is Format.JSON:
        print_json(shown)
    else:
        print_text(checkpoints.listing(shown))


@group.command()
def show(checkpoint: CheckpointArgument, output: FormatOption = Format.TABLE) -> None:
    """Show one checkpoint: how long its instance stood still, and what each part of it cost."""
    from swapbed.living import checkpoint_verbs
    from swapbed.present import checkpoints

    shown = checkpoints.of(checkpoint_verbs.find_checkpoint(checkpoint))
    if output is Format.JSON:
        print_json(shown)
    else:
        print_text(*checkpoints.details(shown))


@group.command()
def diff(before: CheckpointArgument, after: CheckpointArgument, output: FormatOption = Format.TABLE) -> None:
    """Show in what two checkpoints differ: processes, nodes' files, and every kind of state."""
    from swapbed.living import checkpoint_verbs
    from swapbed.present import checkpoints

    found = checkpoint_verbs.difference(before, after)
    if output is Format.JSON:
        print_json(found)
    else:
        print_text(*checkpoints.differences(found))


def register(app: typer.Typer) -> None:
    for command in (swapout, swapin, handoff, fork):
        app.command()(command)
    app.add_typer(group, name="checkpoint")
