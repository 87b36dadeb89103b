"""`demo`: what Swapbed does, shown on a small experiment."""

from __future__ import annotations

import typer

from swapbed.cli.options import ParameterOption


def demo(parameters: ParameterOption = None) -> None:
    """Deploy the example dumbbell, watch its run, and tell what came of it. -S takes its parameters."""
    from swapbed.demo import play
    from swapbed.present.progress import progress
    from swapbed.sources.source import assignments

    with progress() as report:
        play(report, dict(assignments(parameters)))


def register(app: typer.Typer) -> None:
    app.command()(demo)
