"""Arguments and options that several commands share, so that they look and read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swapbed.cli import completion
from swapbed.present.output import Format

chosen = Format.TABLE  # what this command was asked for; an error is printed in it, too


def _remember(value: Format) -> Format:
    global chosen
    chosen = value
    return value


FormatOption = Annotated[Format, typer.Option("--format", callback=_remember, envvar="SWAPBED_FORMAT",
                                              help="table for people, json for programs (stdout holds nothing else then)")]
SourceArgument = Annotated[Path, typer.Argument(metavar="FILE", help="the template's source, or a directory that holds one")]
ParameterOption = Annotated[list[str] | None, typer.Option("-S", "--set", metavar="NAME=VALUE",
                                                           help="a parameter's value; may be repeated")]
InstanceArgument = Annotated[str, typer.Argument(metavar="INSTANCE", help="an instance's name", autocompletion=completion.instances)]
HostOption = Annotated[str | None, typer.Option("--host", metavar="HOST", help="the host that it must be on; default: whichever has room")]


def seconds(text: str, option: str) -> float:
    from languages.units import parse_duration
    from models.errors import InvalidInput

    try:
        return parse_duration(text)
    except ValueError as error:
        raise InvalidInput(str(error), where=option) from None
