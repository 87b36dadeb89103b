"""The commands of an ns program beside Tcl's own and the objects: `new`, `source`, `puts`, the testbed's, and what is forbidden."""

from __future__ import annotations

from languages.ns.activity import EventGroup, EventSequence, EventTimeline
from languages.ns.ignored import CLASS_DEFAULTS, IGNORED_CLASSES
from languages.ns.objects import Command, Nothing
from languages.ns.program import Program, new_program
from languages.ns.refusal import Refused, did_you_mean
from languages.ns.simulator import Simulator
from languages.ns.testbed import COMMANDS as TESTBED_COMMANDS
from languages.ns.traffic import CLASSES as TRAFFIC_CLASSES
from languages.ns.traffic import FLAVOURS, TCP_HERE
from languages.ns.world import World

SIMULATED_CLASSES = {"Simulator": Simulator, "Program": Program, "EventGroup": EventGroup, "EventSequence": EventSequence,
                     "EventTimeline": EventTimeline}
COMPATIBILITY = ("tb_compat.tcl", "nstb_compat.tcl")
# What a safe interpreter lacks anyway, and what would wait; so that the error says why.
FORBIDDEN = {
    "exec": "run programs", "open": "open files", "socket": "open connections", "file": "look at files", "glob": "look at files",
    "cd": "change directory", "pwd": "ask for the directory", "load": "load libraries", "unload": "unload libraries", "exit": "exit",
    "interp": "make interpreters", "fconfigure": "set up channels", "encoding": "change encodings", "after": "wait", "vwait": "wait",
    "update": "wait", "pid": "ask for its process", "package": "load packages"}


def new(world: World, name: str, *words: str) -> str:
    """An object of a class, named by the variable it is stored in."""
    if name == "Simulator":
        if world.simulator is not None:
            raise Refused("there can be one Simulator only")
        world.simulator = world.add(Simulator(world, f"Simulator{world.next_new()}", world.here()))
        return world.simulator.name
    if name in IGNORED_CLASSES:
        world.ignore(f"new {name}", IGNORED_CLASSES[name])
        return world.add(Nothing(world, f"{name}{world.next_new()}", world.here())).name
    if (traffic := TRAFFIC_CLASSES.get(name)) is not None:
        if name in FLAVOURS:
            world.ignore(f"new {name}", TCP_HERE)
        return world.add(traffic(world, f"{name}{world.next_new()}", world.here())).name
    if name not in SIMULATED_CLASSES:
        raise Refused(f"unknown class '{name[:60]}'", did_you_mean(name[:60], {*SIMULATED_CLASSES, *TRAFFIC_CLASSES, *IGNORED_CLASSES}))
    if not words or world.objects.get(words[0]) is not world.simulator or world.simulator is None:
        raise Refused(f"new {name} expects the simulator, as in `new {name} $ns`")
    if name == "Program":
        return new_program(world, Program).name
    simulator = world.simulator
    assert isinstance(simulator, Simulator)
    if name == "EventSequence":
        return simulator.event_sequence(*words[1:2])
    return simulator.event_timeline() if name == "EventTimeline" else simulator.event_group()


def source(world: World, *words: str) -> None:
    """tb_compat.tcl is part of the language."""
    if words[-1].rsplit("/", 1)[-1] not in COMPATIBILITY:
        raise Refused(
            f"source: '{words[-1][:60]}' cannot be read: a program touches no files", "Put everything into one file.", catchable=True
        )


def puts(world: World, *words: str) -> None:
    """To the warnings, where people look."""
    rest = list(words)
    if rest and rest[0] == "-nonewline":
        rest.pop(0)
    if len(rest) not in (1, 2) or (len(rest) == 2 and rest[0] not in ("stdout", "stderr")):
        raise Refused("puts expects [-nonewline] [stdout] TEXT: a program writes no files", catchable=True)
    world.write(rest[-1])


def clock(world: World, *words: str) -> str:
    """Always the same, since the same source must always give the same spec."""
    world.ignore("clock", "time stands still while a program is evaluated, so that it always evaluates to the same: it is 0")
    return "0"


def class_command(name: str) -> Command:
    def defaults(world: World, *words: str) -> str:
        if name == "Simulator" and words == ("instance",) and world.simulator is not None:
            return world.simulator.name
        world.ignore(f"{name} {words[0]}", CLASS_DEFAULTS)
        return words[-1]

    return Command(name, "COMMAND [ARGUMENT] …", defaults)


def forbidden(name: str, what: str) -> Command:
    def refuse(world: World, *words: str) -> str:
        raise Refused(f"'{name}' is not available: an ns program cannot {what}", catchable=True)

    return Command(name, "[ARGUMENT] …", refuse)


def name_fresh(world: World, variable: str) -> str:
    return world.name_fresh(variable)


def unknown(world: World, name: str = "", *words: str) -> str:
    return world.call(name, words)  # says what is near


COMMANDS: dict[str, Command] = {
    **TESTBED_COMMANDS,
    "new": Command("new", "CLASS [ARGUMENT] …", new),
    "source": Command("source", "FILE …", source),
    "puts": Command("puts", "TEXT …", puts),
    "clock": Command("clock", "COMMAND …", clock),
    "unknown": Command("unknown", "[NAME] …", unknown),
    "swapbed::name_fresh": Command("set", "VARIABLE", name_fresh),
    **{
        name: class_command(name)
        for name in (*SIMULATED_CLASSES, *TRAFFIC_CLASSES, "Agent", "Application", "Node", "Queue", "Queue/RED", "Queue/DropTail")
    },
    **{name: forbidden(name, what) for name, what in FORBIDDEN.items()},
}
