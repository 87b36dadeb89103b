"""All commands, put together. A noun's file has `register(app)`, which adds its commands or its group."""

from __future__ import annotations

from typing import Annotated

import typer

from swapbed.cli import (
    convert,
    deletion,
    demo,
    event,
    host,
    image,
    instance,
    link,
    mend,
    metadata,
    node,
    record,
    recording,
    run,
    server,
    spec,
    store,
    swap,
    sweep,
    template,
)

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="A workbench and testbed for replayable networking experiments.")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("swapbed"))
        raise typer.Exit


@app.callback()
def _root(version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print it and exit")] = False) -> None:
    pass


for noun in (spec, convert, template, instance, node, link, mend, event, run, record, recording, swap, sweep, metadata, deletion, store,
             image, host, server, demo):
    noun.register(app)
