"""`image …`: what VMs boot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, print_json, print_text

group = typer.Typer(no_args_is_help=True, help="What virtual machines boot.")
NameArgument = Annotated[str, typer.Argument(metavar="NAME")]


@group.command("ls")
def ls(output: FormatOption = Format.TABLE) -> None:
    """List the images in the store."""
    from swapbed import images

    known = images.images()
    if output is Format.JSON:
        print_json([each.model_dump(mode="json") for each in known])
    else:
        print_text(*(f"{each.name:20} {each.size_bytes >> 20:6} MiB  {'disk' if each.disk else 'in RAM'}  {each.identity[:16]}"
                     for each in known))


@group.command()
def show(name: NameArgument, output: FormatOption = Format.TABLE) -> None:
    """Say what an image is."""
    from swapbed import images

    known = images.image(name).model_dump(mode="json")
    if output is Format.JSON:
        print_json(known)
    else:
        print_text(*(f"{key.replace('_', ' '):12} {value}" for key, value in known.items()))


@group.command()
def create(name: NameArgument) -> None:
    """Make one that Swapbed knows how to make: tiny (busybox, seconds) or debian (Python and iperf3, a minute)."""
    from swapbed import images

    made = images.create(name)
    print_text(f"{made.name}: {made.size_bytes >> 20} MiB, {made.identity[:16]}")


@group.command("import")
def import_(name: NameArgument,
            disk: Annotated[Path | None, typer.Option("--disk", "-d", metavar="FILE", help="anything that qemu-img reads")] = None,
            kernel: Annotated[Path | None, typer.Option("--kernel", "-k", metavar="FILE")] = None,
            initramfs: Annotated[Path | None, typer.Option("--initramfs", "-i", metavar="FILE")] = None,
            append: Annotated[str, typer.Option("--append", metavar="WORDS", help="more of the kernel's command line")] = "",
            replace: Annotated[bool, typer.Option("--replace", help="in place of the one of that name")] = False) -> None:
    """Take a disk, or a kernel with its initramfs, into the store."""
    from swapbed import images

    made = images.import_(name, disk=disk, kernel=kernel, initramfs=initramfs, append=append, replace=replace)
    print_text(f"{made.name}: {made.size_bytes >> 20} MiB, {made.identity[:16]}")


@group.command("rm")
def rm(name: NameArgument) -> None:
    """Let an image go. Instances that have it keep it."""
    from swapbed import images

    images.remove(name)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="image")
