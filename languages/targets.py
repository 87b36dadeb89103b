"""What the Python language hands out for what it makes: things with a name that can be told something.

Each method makes an event and does nothing else: give it to `Topology.at`, a sequence or a timeline. Arguments are the words of
`languages.part_words.ARGUMENTS`: `link.modify(delay="50ms")`, `program.run(timeout="20s")`.
"""

from __future__ import annotations

from typing import Any, Protocol

from models.spec import Event


class Teller(Protocol):
    """Makes an event for a target, or refuses with the place of the caller."""

    def event(self, target: str, verb: str, arguments: dict[str, Any]) -> Event: ...


class Target:
    """A named part of the experiment. `str()` is its name, so that names can be put into commands."""

    def __init__(self, name: str, teller: Teller):
        self.name = name
        self._teller = teller

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {self.name}>"

    def tell(self, verb: str, /, **arguments: Any) -> Event:
        """Any verb of this target, by name."""
        return self._teller.event(self.name, verb, arguments)


class Node(Target):
    def reboot(self) -> Event:
        return self.tell("reboot")

    def stop(self) -> Event:
        return self.tell("stop")

    def snapshot(self, text: str | None = None) -> Event:
        return self.tell("snapshot", text=text)


class Link(Target):
    """A link or a LAN."""

    def up(self, member: Node | str | None = None) -> Event:
        return self.tell("up", member=member)

    def down(self, member: Node | str | None = None) -> Event:
        return self.tell("down", member=member)

    def modify(self, **arguments: Any) -> Event:
        """bandwidth, delay, jitter, distribution, loss, queue …; of one member's pipes with member and direction."""
        return self.tell("modify", **arguments)

    def reset(self) -> Event:
        return self.tell("reset")

    def trace_start(self, member: Node | str | None = None) -> Event:
        return self.tell("trace-start", member=member)

    def trace_stop(self, member: Node | str | None = None) -> Event:
        return self.tell("trace-stop", member=member)

    def trace_snapshot(self, member: Node | str | None = None) -> Event:
        return self.tell("trace-snapshot", member=member)


class Startable(Target):
    """`start` returns at once, `run` is waited for by whoever waits."""

    def start(self, **arguments: Any) -> Event:
        return self.tell("start", **arguments)

    def run(self, **arguments: Any) -> Event:
        return self.tell("run", **arguments)


class Program(Startable):
    """Arguments of start, run and set: command, directory, timeout, expect, environment, tag."""

    def stop(self) -> Event:
        return self.tell("stop")

    def kill(self, signal: str = "TERM") -> Event:
        return self.tell("kill", signal=signal)

    def set(self, **arguments: Any) -> Event:
        return self.tell("set", **arguments)


class Traffic(Target):
    def start(self) -> Event:
        return self.tell("start")

    def stop(self) -> Event:
        return self.tell("stop")

    def modify(self, **arguments: Any) -> Event:
        """packet_size, rate, interval, type_of_service."""
        return self.tell("modify", **arguments)

    def reset(self) -> Event:
        return self.tell("reset")


class Group(Program, Link):
    """Whatever its members can be told."""


class Instance(Target):
    """The instance itself."""

    def terminate(self) -> Event:
        return self.tell("terminate")

    def swapout(self) -> Event:
        return self.tell("swapout")

    def stop_run(self) -> Event:
        return self.tell("stop-run")

    def start_run(self, **arguments: Any) -> Event:
        """parameters, environment_of_run."""
        return self.tell("start-run", **arguments)

    def snapshot(self) -> Event:
        return self.tell("snapshot")

    def report(self) -> Event:
        return self.tell("report")

    def clean_logs(self) -> Event:
        return self.tell("clean-logs")

    def log(self, text: str) -> Event:
        return self.tell("log", text=text)

    def message(self, text: str) -> Event:
        return self.tell("message", text=text)
