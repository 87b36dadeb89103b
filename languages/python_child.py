"""The child process of `languages.python_language`: runs one source's `build` on a topology and prints what it comes to.

Question: {name, text, values, directory}; values null asks for parameters only. Answer: {parameters, spec, warnings,
datastore, externals}, or {error: …} as `SwapbedError.as_json`.
"""

from __future__ import annotations

import inspect
import json
import linecache
import os
import resource
import sys
import traceback
from collections.abc import Callable
from types import CodeType
from typing import Any, get_type_hints

from languages.builder import Missing, Topology
from languages.confined import give_up_root
from languages.words import text
from models.errors import InvalidInput, SwapbedError

_TYPES: dict[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def main() -> None:
    question = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    give_up_root()
    try:
        answer = answer_to(question)
    except SwapbedError as error:
        answer = {"error": error.as_json()}
    sys.stdout.flush()
    json.dump(answer, answers)
    answers.close()


def answer_to(question: dict[str, Any]) -> dict[str, Any]:
    name, values = question["name"], question["values"]
    build = _load(name, question["text"])
    net = Topology(_title(name), values=values, source=name, directory=question["directory"])
    try:
        _guard(name, lambda: build(net, **_arguments(name, net, build)))
    except Missing as missing:
        if values is not None:
            raise InvalidInput(f"parameter '{missing}' has no default and was not given a value", where=name,
                               next=f"Give one: -S {missing}=VALUE.") from None
    if values is None:
        return {"parameters": [p.model_dump() for p in net.declared]}
    evaluation = net.evaluation()
    return {"parameters": [p.model_dump() for p in net.declared], "spec": evaluation.spec.model_dump(mode="json"),
            "warnings": [vars(w) for w in evaluation.warnings], "datastore": str(evaluation.datastore) if evaluation.datastore else None,
            "externals": [external.model_dump(exclude_none=True) for external in evaluation.externals]}


def _load(name: str, source: str) -> Callable[..., None]:
    """The file's `build`; the file itself is run with a name that is not __main__."""
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        code: CodeType = compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidInput(f"malformed Python: {getattr(error, 'msg', None) or error}",
                           where=f"{name}:{getattr(error, 'lineno', None) or 1}") from None
    space: dict[str, Any] = {"__name__": "template", "__file__": name}
    _guard(name, lambda: exec(code, space))
    build = space.get("build")
    if not callable(build):
        raise InvalidInput("the file defines no function build(net, …)", where=name)
    return build


def _guard(name: str, run: Callable[[], None]) -> None:
    """Turns whatever the source raises into an error at the source's own line."""
    try:
        run()
    except (SwapbedError, Missing):
        raise
    except MemoryError:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        raise InvalidInput(f"the evaluation needs more than {limit >> 20} MiB of memory", where=name) from None
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == name]
        detail = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise InvalidInput(detail[:2000], where=f"{name}:{lines[-1]}" if lines else name) from None


def _arguments(name: str, net: Topology, build: Callable[..., None]) -> dict[str, Any]:
    """Declares the parameters that build's signature names, after `net`, and gives their values."""
    where = f"{name}:{build.__code__.co_firstlineno}" if hasattr(build, "__code__") else name
    signature = list(inspect.signature(build).parameters.values())
    if not signature or signature[0].kind not in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD):
        raise InvalidInput("build takes no topology: expected build(net, …)", where=where)
    hints = get_type_hints(build, include_extras=True)
    arguments, missing = {}, None
    for parameter in signature[1:]:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise InvalidInput("the arguments of build are parameters, each with its name: *args and **kwargs are not", where=where)
        try:
            arguments[parameter.name] = net.declare(where, **_declaration(where, parameter, hints.get(parameter.name)))
        except Missing as error:
            missing = missing or error
    if missing is not None:
        raise missing
    return arguments


def _declaration(where: str, parameter: inspect.Parameter, hint: Any) -> dict[str, Any]:
    default = None if parameter.default is parameter.empty else parameter.default
    if default is not None and not isinstance(default, (str, int, float)):
        raise InvalidInput(f"the default of parameter '{parameter.name}' is {type(default).__name__}: expected a text or a number",
                           where=where)
    notes = [note for note in getattr(hint, "__metadata__", ()) if isinstance(note, str)]
    plain = getattr(hint, "__origin__", hint)
    kind = _TYPES.get(plain) or next((word for python, word in _TYPES.items() if isinstance(default, python)), "string")
    written = None if default is None else text(default)
    return {"name": parameter.name, "default": written, "value": written or "", "type": kind, "description": notes[0] if notes else ""}


def _title(name: str) -> str:
    return os.path.basename(name).split(".")[0] or "experiment"


if __name__ == "__main__":
    main()
