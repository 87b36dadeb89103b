"""`validate` and `graph`: what a template's source says, before anything is made of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from swapbed.cli.options import FormatOption, ParameterOption, SourceArgument
from swapbed.present.output import Format, note, print_json, print_text

WRITE_HELP = "its suffix says the form: .svg, .png, .dot, .mmd; default: Mermaid on standard output"


def validate(source: SourceArgument, parameters: ParameterOption = None, output: FormatOption = Format.TABLE) -> None:
    """Check a template's source and show what it asks for. Makes nothing; needs no root."""
    from swapbed.present import topology
    from swapbed.sources.source import assignments, evaluated

    read, evaluation = evaluated(source, assignments(parameters))
    spec = evaluation.spec
    if output is Format.JSON:
        print_json({"valid": True, "source": read.name, "language": read.language, "digest": spec.digest,
                    "warnings": [{"where": w.where, "text": w.text} for w in evaluation.warnings], "spec": spec})
        return
    for warning in evaluation.warnings:
        note(f"warning: {warning}")
    print_text(topology.nodes_table(spec), topology.lans_table(spec))
    if spec.agents:
        print_text(topology.agents_table(spec))
    if spec.parameters:
        print_text(topology.parameters_table(spec))
    print_text(f"{read.name} is valid {read.language}: {topology.summary(spec)}")


def graph(source: SourceArgument, parameters: ParameterOption = None,
          write: Annotated[Path | None, typer.Option("--write", "-w", metavar="FILE", help=WRITE_HELP)] = None) -> None:
    """Draw a template's topology. Makes nothing; needs no root."""
    from swapbed.pictures.topology import graph
    from swapbed.sources.source import assignments

    picture = graph(source, **assignments(parameters))
    if write is None:
        sys.stdout.write(picture.render("mermaid").decode())
    else:
        picture.save(write)
        note(str(write))


def register(app: typer.Typer) -> None:
    app.command()(validate)
    app.command()(graph)
