"""An error as one readable block on stderr: what, where, next. Never a traceback, unless SWAPBED_DEBUG is set."""

from __future__ import annotations

import os
import sys
import traceback

from models.errors import HostProblem, SwapbedError
from swapbed.present.output import Format, print_json

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def named(error: BaseException) -> SwapbedError:
    """Anything that was raised as an error of our family: what the system refused, or a fault of ours."""
    if isinstance(error, SwapbedError):
        return error
    if isinstance(error, PermissionError) and os.geteuid() != 0:
        return HostProblem(f"{error.strerror}: this needs root", where=error.filename, next="Run it with sudo.")
    if isinstance(error, OSError) and error.strerror:
        return HostProblem(error.strerror, where=str(error.filename) if error.filename else None)
    return SwapbedError(f"an error that Swapbed did not foresee: {type(error).__name__}: {error}",
                        next="This is a fault of Swapbed. With SWAPBED_DEBUG=1 the same command shows where.")


def show(error: BaseException, output_format: Format) -> int:
    """Print it; returns the exit code. With JSON the error is the document on stdout."""
    if os.environ.get("SWAPBED_DEBUG"):
        traceback.print_exception(error)
    known = named(error)
    if output_format is Format.JSON:
        print_json(known.as_json())
    else:
        sys.stderr.write(block(known))
    return known.exit_code


def block(error: SwapbedError) -> str:
    bold, plain = ("\033[1;31m", "\033[0m") if sys.stderr.isatty() else ("", "")
    lines = [f"{bold}error:{plain} {error.what}"]
    if error.where:
        lines.append(f"  where: {error.where}")
    if error.next:
        lines.append(f"  next:  {error.next}")
    return "\n".join(lines) + "\n"
