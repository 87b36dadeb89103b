"""`convert`: a template's source in another language."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from swapbed.cli.options import FormatOption, ParameterOption, SourceArgument
from swapbed.present.output import Format, note, print_json


class Target(StrEnum):
    NS = "ns"
    YAML = "yaml"
    PYTHON = "python"
    EMULAB_ROWS = "emulab-rows"


TO_HELP = "the language to write; emulab-rows: what Emulab's parser would write into its database, as JSON"


def convert(source: SourceArgument, to: Annotated[Target, typer.Option("--to", help=TO_HELP)], parameters: ParameterOption = None,
            write: Annotated[Path | None, typer.Option("--write", "-w", metavar="FILE", help="default: standard output")] = None,
            output: FormatOption = Format.TABLE) -> None:
    """Write a template's source in another language, and say what that cannot say. Makes nothing else; needs no root."""
    from languages import convert as converter
    from languages.evaluate import Source
    from swapbed.sources.source import assignments, find_source

    conversion = converter.convert(Source.read(find_source(source)), to.value, assignments(parameters))
    if write is not None:
        write.write_text(conversion.text)
    if output is Format.JSON:
        print_json({"to": to.value, "text": conversion.text, "lost": list(conversion.lost),
                    "warnings": [{"where": w.where, "text": w.text} for w in conversion.warnings]})
        return
    for warning in conversion.warnings:
        note(f"warning: {warning}")
    for sentence in conversion.lost:
        note(f"lost: {sentence}")
    if write is None:
        sys.stdout.write(conversion.text)
    else:
        note(str(write))


def register(app: typer.Typer) -> None:
    app.command()(convert)
