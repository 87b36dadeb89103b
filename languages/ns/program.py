"""Program agents, and event groups, which the first program brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from languages.ns.node import Node
from languages.ns.objects import NsObject, command
from languages.ns.quantities import integer, seconds
from languages.ns.refusal import Refused

if TYPE_CHECKING:
    from languages.ns.world import World

STARTCMDDONE = "/usr/local/etc/emulab/startcmddone"  # Emulab's report of a start command's end


class Program(NsObject):
    """Runs a command in a node when events say so."""

    kind, noun = "Program", "program"
    settings = {"node": str, "command": lambda text: one_line(text), "dir": str, "timeout": lambda text: seconds(text) if text else None,
                "expected-exit-code": lambda text: integer(text, "expected-exit-code", 0, 255) if text else None}
    ignored = dict.fromkeys(("start", "run", "stop", "kill"), "has an effect only as an event: `$ns at TIME \"$program start\"`")

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.node: Node | None = None
        self.variables.update(dict.fromkeys(self.settings, ""))

    @command("set", "VARIABLE [VALUE]")
    def set_variable(self, variable: str, value: str | None = None) -> str:
        if variable == "node" and value is not None:
            if value == "ops":
                raise Refused("there is no host 'ops' here: programs run in nodes",
                              "Give the program a node of the experiment; what it would collect on ops is in the record.")
            self.node = self.world.find(value, Node, what="set node")
        return super().set_variable(variable, value)


def new_program(world: World, kind: type[Program]) -> Program:
    """As Emulab's `new Program`; the first one brings the group of all programs, which counts in its names."""
    return world.add(kind(world, f"Program{new_program_number(world)}", world.here()))


def new_program_number(world: World) -> int:
    number = world.next_new()
    if not world.has_programs:
        world.has_programs = True
        world.next_new()
    return number


def start_command(node: Node, text: str) -> Program:
    """A program NODE_startcmd that starts when a run begins."""
    from languages.ns.world import Told

    world = node.world
    new_program_number(world)
    program = Program(world, f"{node.name}_startcmd", world.here())
    program.node = node
    program.set_variable("command", text)
    world.add_named(program)
    world.events.append(Told(program, "start", {}, world.here()))
    return program


def one_line(text: str) -> str:
    if "\n" in text:
        raise Refused("a program's command is one line, without line breaks")
    return text
