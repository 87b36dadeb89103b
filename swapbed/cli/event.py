"""`event` and `logs`: telling something to a part of a living instance, and seeing what happened in it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from swapbed.cli import completion
from swapbed.cli.options import FormatOption, InstanceArgument
from swapbed.present.output import Format, print_json, print_text

TARGET_HELP = "a node, link, LAN, agent (also NODE/AGENT), group, sequence, timeline, or `instance`"
PastArgument = Annotated[str, typer.Argument(metavar="INSTANCE", help="living or not; INSTANCE/2 for its run 2",
                                             autocompletion=completion.instances)]
group = typer.Typer(no_args_is_help=True, help="Events: what is told to a living instance, and what happened.")


@group.command()
def send(instance: InstanceArgument,
         target: Annotated[str, typer.Argument(metavar="TARGET", help=TARGET_HELP, autocompletion=completion.targets)],
         verb: Annotated[str, typer.Argument(metavar="VERB", help="start, run, stop, kill, set, up, down, modify, reset, …")],
         values: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE...]", help="arguments of the verb")] = None,
         wait: Annotated[bool, typer.Option("--wait", help="until it has completed; exit code 11 if it failed")] = False,
         at: Annotated[str, typer.Option("--at", metavar="+TIME", help="virtual time from now")] = "+0s",
         timeout: Annotated[str | None, typer.Option(metavar="TIME", help="of waiting")] = None,
         output: FormatOption = Format.TABLE) -> None:
    """Tell something to a part of the instance, now or later; it stands in the run's record like the template's own events."""
    from swapbed.cli.options import seconds
    from swapbed.living import events
    from swapbed.living.access import Access

    in_s, timeout_s = seconds(at.removeprefix("+"), "--at"), None if timeout is None else seconds(timeout, "--timeout")
    with Access.to(instance) as access:
        sent = events.send(access, events.event(access, target, verb, values or []), in_s=in_s, wait=wait, timeout_s=timeout_s)
    if output is Format.JSON:
        print_json(sent)
    elif sent.outcome is not None:
        print_text(f"{target} {verb}: completed")


@group.command("ls")
def list_(instance: PastArgument,
          follow: Annotated[bool, typer.Option("--follow", "-f", help="go on as it happens, until interrupted")] = False,
          since: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="from this line on")] = 0,
          output: FormatOption = Format.TABLE) -> None:
    """Show what happened, with virtual times; of an instance that is gone, too. JSON is one object a line here."""
    from swapbed import happened
    from swapbed.present import activity

    for line in happened.happened(instance, since=since, follow=follow):
        typer.echo(line.model_dump_json() if output is Format.JSON else activity.sentence(line))


def logs(instance: PastArgument, agent: Annotated[str, typer.Argument(metavar="AGENT", autocompletion=completion.targets)],
         run: Annotated[int | None, typer.Option(metavar="NUMBER", help="default: the last")] = None,
         invocation: Annotated[str | None, typer.Option(metavar="NAME", help="its number or tag; default: the last")] = None,
         errors: Annotated[bool, typer.Option("--errors", help="what it wrote to standard error")] = False) -> None:
    """Print what a program of an agent wrote; of an instance that is gone, from its record."""
    from swapbed import happened

    sys.stdout.buffer.write(happened.log(instance, agent, run=run, invocation=invocation, stream="err" if errors else "out"))


def register(app: typer.Typer) -> None:
    app.command()(logs)
    app.add_typer(group, name="event")
