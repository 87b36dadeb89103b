"""`record-events`: what someone does by hand in a living instance is recorded, to be edited, attached to a template and replayed."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swapbed.cli.options import FormatOption, InstanceArgument, ParameterOption
from swapbed.present.output import Format, print_json, print_text, table

if TYPE_CHECKING:
    from swapbed.living.recordings import Action

group = typer.Typer(no_args_is_help=True, help="Recordings of what is done by hand: `event send`, and template_record in nodes.")
RecordingArgument = Annotated[str, typer.Argument(metavar="RECORDING", help="INSTANCE/NAME, or an id")]


class Form(StrEnum):
    TIMELINE = "timeline"
    SEQUENCE = "sequence"


@group.command()
def start(instance: InstanceArgument, name: Annotated[str, typer.Argument(metavar="NAME")], output: FormatOption = Format.TABLE) -> None:
    """Begin a recording; its clock starts at 0."""
    _control(instance, "start", output, name)


@group.command()
def pause(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """Stop the recording's clock: what comes is recorded at this time, and the pause is not replayed."""
    _control(instance, "pause", output)


@group.command("continue")
def continue_(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """Start its clock again."""
    _control(instance, "continue", output)


@group.command()
def step(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """Let its clock run until one event was recorded."""
    _control(instance, "step", output)


@group.command()
def stop(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """End the recording. It is kept when the instance is gone."""
    _control(instance, "stop", output)


@group.command("ls")
def list_(instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="default: all, ended ones too")] = None,
          output: FormatOption = Format.TABLE) -> None:
    """List recordings, oldest first."""
    from swapbed.living import recordings

    found = recordings.every(instance)
    if output is Format.JSON:
        print_json(found)
    else:
        print_text(table(None, ("recording", "id", "state", "#events", "#length", "by"), [
            (f"{one.instance}/{one.name}", one.id, one.state, one.events, f"{one.length_s:.3f} s", one.created_by) for one in found]))


@group.command()
def show(recording: RecordingArgument) -> None:
    """Print a recording as text, one event a line: what `edit` takes."""
    from swapbed.living import recordings

    sys.stdout.write(recordings.text(recording))


@group.command()
def edit(recording: RecordingArgument,
         file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="the new text, - for standard input; default: your"
                                                                            " editor, $VISUAL or $EDITOR")] = None,
         output: FormatOption = Format.TABLE) -> None:
    """Change a finished recording: move, retime, delete or add lines."""
    from swapbed.living import recordings

    if file is not None:
        _say(recordings.edit(recording, sys.stdin.read() if str(file) == "-" else _content(file)), output)
    else:
        _say(_edit_by_hand(recording), output)


@group.command()
def attach(recording: RecordingArgument, template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="name, name@NUMBER, id or hash")],
           form: Annotated[Form, typer.Option("--as", help="timeline: at the recorded times; or one after the other")] = Form.TIMELINE,
           name: Annotated[str | None, typer.Option("--name", "-n", help="of the timeline or sequence; default: the recording's")] = None,
           at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="have every run start it at this time")] = None,
           parameters: ParameterOption = None, output: FormatOption = Format.TABLE) -> None:
    """Make a child of a template that has the recording, too. `deploy` it, and `event send INSTANCE NAME run` replays it."""
    from swapbed.living import recordings
    from swapbed.sources.source import assignments

    made = recordings.attach(recording, template, form.value, name=name, at=at, parameters=assignments(parameters)).template
    if output is Format.JSON:
        print_json({"template": f"{made.name}@{made.number}", "digest": made.digest})
    else:
        print_text(f"{made.name}@{made.number}")


def _edit_by_hand(recording: str) -> object:
    """A text that is refused is not lost."""
    from models.errors import InvalidInput
    from swapbed.living import recordings

    handle, name = tempfile.mkstemp(suffix=".recording")
    with os.fdopen(handle, "w") as file:
        file.write(recordings.text(recording))
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    try:
        subprocess.run([*shlex.split(editor), name], check=True)
        shown = recordings.edit(recording, Path(name).read_text())
    except InvalidInput as error:
        raise InvalidInput(error.what, where=error.where, next=f"Your text is in {name}.") from None
    except (OSError, subprocess.CalledProcessError) as error:
        raise InvalidInput(f"the editor '{editor}' failed: {error}", next="Set EDITOR, or name a file.") from None
    Path(name).unlink()
    return shown


def _content(file: Path) -> str:
    from models.errors import InvalidInput

    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the text cannot be read: {error}", where=str(file)) from None


def _control(instance: str, action: Action, output: Format, name: str = "") -> None:
    from swapbed.living import recordings

    _say(recordings.control(instance, action, name), output)


def _say(one: object, output: Format) -> None:
    from swapbed.living.recordings import ShownRecording
    from swapbed.present.units import count

    assert isinstance(one, ShownRecording)
    if output is Format.JSON:
        print_json(one)
    else:
        print_text(f"{one.instance}/{one.name}: {one.state}, {count(one.events, 'event')}, {one.length_s:.3f} s")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="record-events")
