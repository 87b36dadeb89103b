"""Python: a file that defines `build(net, …)`, evaluated in a child process of its own.

    def build(net, clients: int = 4, delay: str = "20ms"):
        router = net.node("router")
        for client in net.nodes("client-{}", clients):
            net.link(client, router, delay=delay)

`net` is a `languages.builder.Topology`; the further arguments are the template's parameters, typed by their annotation or
default (`Annotated[int, "how many"]` describes one), and `net.parameter(…)` declares more. What the file prints goes to
standard error. It may import whatever is installed; time, memory and rights are `languages.confined`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from languages.confined import ask
from languages.evaluate import Evaluation, Source, Warning_
from models.errors import SwapbedError
from models.externals import EXTERNAL
from models.spec import Parameter, Spec


def parameters_of(source: Source) -> tuple[Parameter, ...]:
    return tuple(Parameter.model_validate(p) for p in _answer(source, None)["parameters"])


def evaluate(source: Source, values: Mapping[str, str]) -> Evaluation:
    answer = _answer(source, dict(values))
    return Evaluation(Spec.model_validate(answer["spec"]), tuple(Warning_(**w) for w in answer["warnings"]),
                      Path(answer["datastore"]) if answer["datastore"] else None,
                      tuple(EXTERNAL.validate_python(external) for external in answer["externals"]))


def _answer(source: Source, values: dict[str, str] | None) -> dict[str, Any]:
    """values None: for parameters only."""
    question = {"name": source.name, "text": source.text, "values": values,
                "directory": str(source.directory) if source.directory is not None else None}
    answer = ask("languages.python_child", question, source.name)
    if "error" in answer:
        raise SwapbedError.from_json(answer["error"])
    return answer
