"""The child process: reads one request from stdin, evaluates one ns program, writes one answer to stdout, as JSON.

Request: text, values, seconds, commands, memory_bytes, step_by_step, line_fd (the line being evaluated is kept there, for when
this process dies). Answer: `declared` and `parameters`, or `error` {what, next, line}; `warnings` and `output` as [line, text].
A program that fails in Tcl is evaluated a second time, step by step, to find the line. `missing` names a missing module.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

from languages.ns.commands import COMMANDS
from languages.ns.refusal import OUT_OF_MEMORY
from languages.ns.world import World

try:
    from languages.ns.interpreter import Interpreter, TclFailed
except ImportError as error:  # Debian packs tkinter apart; the parent says so
    MISSING = error.name
else:
    MISSING = None

SECOND_PASS_SECONDS = 3.0
MOST_COMMANDS = 2**31 - 1  # Tcl counts no further
NOBODY = 65534


def main() -> None:
    request = json.load(sys.stdin)
    answer: dict[str, Any] = {"missing": MISSING}
    if MISSING is None:
        confine(request["memory_bytes"], request["seconds"])
        try:
            answer = evaluate(request)
        except MemoryError:
            os._exit(OUT_OF_MEMORY)
    sys.stdout.buffer.write(json.dumps(answer, ensure_ascii=False).encode("utf-8", "replace"))


def confine(memory_bytes: int, seconds: float) -> None:
    """No root, no new processes, no more memory than this beyond what the process has now.

    The processor time is a backstop behind Tcl's own limits. Everything is imported by now, so nothing needs to be readable.
    """
    with open("/proc/self/statm") as file:  # noqa: PTH123 - pathlib costs a tenth of the start
        now = int(file.read().split()[0]) * resource.getpagesize()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (now + memory_bytes, now + memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds + SECOND_PASS_SECONDS) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def evaluate(request: dict[str, Any]) -> dict[str, Any]:
    progress = mmap.mmap(request["line_fd"], 8)

    def on_line(line: int) -> None:
        progress[:8] = line.to_bytes(8, "little")

    try:
        return attempt(request, on_line, request["seconds"], request["step_by_step"])
    except TclFailed as failed:
        line = failed.line
        if not failed.exhausted and not request["step_by_step"]:
            _, hard = resource.getrlimit(resource.RLIMIT_CPU)
            resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))
            try:
                attempt(request, on_line, SECOND_PASS_SECONDS, True)
            except TclFailed as again:
                line = line if again.exhausted else again.line
        return {"error": {"what": explain(failed.message, request), "next": None, "line": line}}


def attempt(request: dict[str, Any], on_line: Callable[[int], None], seconds: float, step_by_step: bool) -> dict[str, Any]:
    """Raises TclFailed for what Tcl itself complains of."""
    def called(words: tuple[str, ...]) -> str:
        return world.call(words[0], words[1:])

    interpreter = Interpreter(request["text"], called, on_line)
    world = World(interpreter, request["values"], COMMANDS)
    for name in COMMANDS:
        interpreter.bind(name)
    failed = None
    try:
        interpreter.run(MOST_COMMANDS if step_by_step else request["commands"], seconds, step_by_step)
    except TclFailed as error:
        failed = error
    refused = world.refused
    if refused is None and failed is not None and world.last_refused is not None and world.last_refused.what == failed.message:
        refused = world.last_refused
    if refused is not None:
        return {"error": {"what": refused.what, "next": refused.next, "line": refused.line}}
    if failed is not None:
        raise failed
    return complete(world, request["text"])


def complete(world: World, text: str) -> dict[str, Any]:
    if world.declared is None:
        what = "there is no `$ns run`" if world.simulator else "there is no simulator: an ns program begins with `set ns [new Simulator]`"
        return {"error": {"what": what, "next": "An ns program ends with `$ns run`.", "line": text.rstrip().count("\n") + 1}}
    warnings = [[said.line, said.text if said.times == 1 else f"{said.text} (said {said.times} times)"] for said in world.ignored.values()]
    return {"declared": world.declared, "warnings": warnings, "output": world.output}


def explain(message: str, request: dict[str, Any]) -> str:
    """Tcl's message; its limits in our words."""
    if message == "time limit exceeded":
        return f"the program did not end within {request['seconds']:g} s"
    if message == "command count limit exceeded":
        return f"the program did not end within {request['commands']} commands: is there an endless loop?"
    return message


if __name__ == "__main__":
    main()
