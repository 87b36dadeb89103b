"""What processes inside nodes ask: events, recordings, commands to be recorded. Every petition is taken up once and answered."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Protocol

from pydantic import ValidationError

from models.errors import InvalidInput, SwapbedError
from models.events import Arguments
from models.protocol.conductor import Outcome
from models.protocol.init import Petition
from models.spec import Event, Spec
from nodeops.conductor import tevc
from nodeops.conductor.happenings import Petitioned

UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0,
         "bps": 1.0, "kbps": 1e3, "Mbps": 1e6, "Gbps": 1e9, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9}
NUMBER = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?)([a-zA-Z]+)")
SUFFIXES = ("_s", "_bps", "_bytes")


class Doer(Protocol):
    """What petitions lead to; `nodeops.conductor.operations` does it."""

    def spec(self) -> Spec: ...
    def send(self, event: Event, *, in_s: float, origin: str, petition: Petitioned) -> int: ...
    def when_settled(self, token: int, then: Callable[[Outcome], None]) -> None: ...
    def change_recording(self, action: str, name: str, petition: Petitioned) -> None: ...
    def record(self, node: str, command: str, directory: str, start_node_ns: int, petition: Petitioned) -> None: ...
    def answer(self, node: str, petition: int, *, error: str | None = None, text: str | None = None) -> None: ...
    def taken(self, node: str) -> int: ...


class Petitions:
    def __init__(self, doer: Doer):
        self.doer = doer

    def take(self, node: str, asked: Petition) -> None:
        """Told again after each reconnection, so one that was taken up already is not done again. Nothing a node says raises here."""
        if asked.petition <= self.doer.taken(node):
            return
        try:
            self._do(node, asked)
        except (SwapbedError, ValueError) as error:
            self.doer.answer(node, asked.petition, error=str(error))

    def _do(self, node: str, asked: Petition) -> None:
        what, items = asked.items.get("what", ("",))[0], asked.items
        reference = Petitioned(node=node, number=asked.petition)
        if what == "event":
            self._event(node, asked, reference)
            return
        if what == "recording":
            self.doer.change_recording(_one(items, "action"), items.get("name", ("",))[0], reference)
        elif what == "record":
            self.doer.record(node, _one(items, "command"), items.get("directory", ("/",))[0], int(_one(items, "start_ns")), reference)
        else:
            raise InvalidInput(f"the conductor does not know '{what}'")
        self.doer.answer(node, asked.petition)

    def _event(self, node: str, asked: Petition, reference: Petitioned) -> None:
        target, verb, words = _one(asked.items, "target"), _one(asked.items, "verb"), asked.items.get("argument", ())
        pairs = dict(pair.partition("=")[::2] for pair in words)
        if "tevc" in asked.items:
            target, verb, pairs = tevc.in_our_words(target, verb, list(words), self.doer.spec())
        event = read_event(target, verb, pairs)
        in_s = read_delay(asked.items["at"][0]) if "at" in asked.items else 0.0
        token = self.doer.send(event, in_s=in_s, origin=f"node {node}", petition=reference)
        if "wait" not in asked.items:
            self.doer.answer(node, asked.petition, text=str(token))
            return

        def settled(outcome: Outcome) -> None:
            self.doer.answer(node, asked.petition, error=outcome.error or (None if outcome.ok else f"code {outcome.code}"))

        self.doer.when_settled(token, settled)


def read_event(target: str, verb: str, pairs: dict[str, str]) -> Event:
    """Arguments by the names of `models.events.Arguments`, or without their unit, which the value may then have: delay=20ms.

    environment.NAME and parameters.NAME fill those; what `start-run` does not know is a parameter.
    """
    values: dict[str, Any] = {}
    for key, value in pairs.items():
        mapping, _, name = key.partition(".")
        if verb == "start-run" and "." not in key and key != "environment_of_run":
            mapping, name = "parameters", key
        field = next((key + suffix for suffix in ("", *SUFFIXES) if key + suffix in Arguments.model_fields), None)
        if mapping in ("environment", "parameters") and name:
            values.setdefault(mapping, {})[name] = value
        elif field is not None:
            values[field] = _number(value) if field.endswith(SUFFIXES) else value
        else:
            raise InvalidInput(f"'{key}' is no argument of an event", next=f"Known: {', '.join(sorted(Arguments.model_fields))}")
    try:
        return Event(target=target, verb=verb, arguments=Arguments.model_validate(values))
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def read_delay(text: str) -> float:
    """+5s, +1.5, 20ms: from now."""
    value = _number(text.removeprefix("+"))
    try:
        return float(value)
    except ValueError as error:
        raise InvalidInput(f"'{text}' is not a time from now, as in +5s") from error


def _number(text: str) -> str | float:
    """With its unit multiplied in; what is no number is left to be refused."""
    match = NUMBER.fullmatch(text.strip())
    if match is None or match[2] not in UNITS:
        return text
    value = float(match[1]) * UNITS[match[2]]
    return int(value) if value.is_integer() else value


def _one(items: dict[str, tuple[str, ...]], key: str) -> str:
    if key not in items:
        raise InvalidInput(f"the request lacks '{key}'")
    return items[key][0]
