"""`link`: links and LANs of a living instance."""

from __future__ import annotations

from typing import Annotated

import typer

from swapbed.cli import completion
from swapbed.cli.options import FormatOption, InstanceArgument
from swapbed.present.output import Format, note, print_json, print_text

group = typer.Typer(no_args_is_help=True, help="Links and LANs of a living instance.")
LinkArgument = Annotated[str, typer.Argument(metavar="LINK", help="a link's or LAN's name", autocompletion=completion.links)]
OptionalLink = Annotated[str | None, typer.Argument(metavar="LINK", help="default: all of them", autocompletion=completion.links)]
MemberOption = Annotated[str | None, typer.Option("--member", metavar="NODE", help="only this node's part of it")]


@group.command()
def show(instance: InstanceArgument, link: OptionalLink = None,
         output: FormatOption = Format.TABLE) -> None:
    """Show each pipe: what was asked, how it is shaped now, what passed, and how punctually."""
    from swapbed.living import links
    from swapbed.living.access import Access
    from swapbed.present import pipes

    with Access.to(instance) as access:
        shown = links.show(access, link)
    if output is Format.JSON:
        print_json(shown)
    else:
        print_text(pipes.pipes_table(shown))


@group.command("set")
def set_(instance: InstanceArgument, link: LinkArgument,
         values: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="bandwidth, delay, jitter, loss, queue, …")],
         member: MemberOption = None,
         direction: Annotated[str | None, typer.Option(metavar="uplink|downlink", help="of that member; default: both")] = None) -> None:
    """Change what a link does to traffic, from the next frame on; what is not named stays."""
    from swapbed.living import links
    from swapbed.living.access import Access

    where = [f"{key}={value}" for key, value in (("member", member), ("direction", direction)) if value]
    with Access.to(instance) as access:
        links.change(access, link, [*values, *where])
    note(f"{link}: {' '.join(values)}")


@group.command()
def down(instance: InstanceArgument, link: LinkArgument, member: MemberOption = None) -> None:
    """Let nothing through any more; frames under way arrive."""
    from swapbed.living import links
    from swapbed.living.access import Access

    with Access.to(instance) as access:
        links.down(access, link, member)


@group.command()
def up(instance: InstanceArgument, link: LinkArgument, member: MemberOption = None) -> None:
    """Let traffic through again."""
    from swapbed.living import links
    from swapbed.living.access import Access

    with Access.to(instance) as access:
        links.up(access, link, member)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="link")
