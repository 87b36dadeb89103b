"""Events as ns programs write them, `$object verb argument …`, to targets, verbs and arguments of `models.events`."""

from __future__ import annotations

from collections.abc import Callable
from signal import Signals
from typing import Any

from languages.ns import script
from languages.ns.activity import EventGroup, EventSequence, EventTimeline
from languages.ns.lanlink import LanLink, Queue
from languages.ns.node import LOOKS, Console, Node
from languages.ns.objects import Nothing, NsObject, options
from languages.ns.program import Program, one_line
from languages.ns.quantities import event_delay_s, fraction, integer, positive, rate_kbps, seconds
from languages.ns.refusal import Refused, did_you_mean
from languages.ns.traffic import Application, Cbr, interval
from languages.ns.world import Told, World

Words = list[str]
Meaning = tuple[str, dict[str, Any]]  # verb and arguments
TRACE_VERBS = {"start": "trace-start", "stop": "trace-stop", "kill": "trace-stop", "snapshot": "trace-snapshot"}
PROGRAM_OPTIONS = ("-command", "-dir", "-timeout", "-expected-exit-code", "-tag")


def told(world: World, text: str) -> list[Told]:
    """The events of one string, parted by semicolons, as `$ns at` takes them."""
    found = []
    for _, command in script.commands(text, brackets=False):
        found += told_words(world, world.tcl.words(command))
    return found


def told_words(world: World, words: Words, line: int | None = None) -> list[Told]:
    """One event; none if it means nothing here and was warned of."""
    if not words:
        return []
    name, line = words[0], line or world.here()
    target = world.objects.get(name)
    if target is None:
        world.find(name, NsObject, what="event")  # says what is near
        return []
    if len(words) < 2:
        raise Refused(f"event for '{name}' lacks its verb: expected `${name} start`, for example")
    judged: NsObject | None = target
    if isinstance(target, EventGroup):
        judged = target.members[0] if target.members else None
        if judged is None:
            raise Refused(f"group '{name}' has no members yet: add them before it is told anything")
    if target is world.simulator:
        return _instance(world, words[1], words[2:], line)
    for kind, meaning in _KINDS:
        if isinstance(judged, kind):
            result = meaning(world, target, words[1], words[2:])
            return [] if result is None else [Told(_addressee(target), *result, line)]
    raise Refused(f"'{name}' is a {target.noun} and takes no events")


def _addressee(target: NsObject) -> NsObject:
    if isinstance(target, Queue):
        assert target.lanlink is not None
        return target.lanlink
    return target


def _program(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    if verb == "stop":
        return "stop", {}
    if verb == "kill":
        if not words:
            raise Refused("kill lacks its signal, as in `$program kill TERM`")
        return "kill", {"signal": _signal(words[0])}
    if verb not in ("start", "run", "set"):
        raise _unknown(target, verb, ("start", "run", "stop", "kill", "set"))
    given = options(tuple(words), PROGRAM_OPTIONS, f"program {verb}")
    arguments: dict[str, Any] = {}
    if given.get("-command"):
        arguments["command"] = one_line(given["-command"])
    if given.get("-dir"):
        arguments["directory"] = given["-dir"]
    if given.get("-timeout"):
        arguments["timeout_s"] = seconds(given["-timeout"])
    if given.get("-expected-exit-code"):
        arguments["expected_exit_code"] = integer(given["-expected-exit-code"], "-expected-exit-code", 0, 255)
    if given.get("-tag"):
        arguments["tag"] = given["-tag"]
    return verb, arguments


def _signal(text: str) -> str:
    """As it is said, which is what Emulab records: by name, with SIG or without, or by number."""
    try:
        Signals(int(text)) if text.isdigit() else Signals[f"SIG{text.upper().removeprefix('SIG')}"]
    except (KeyError, ValueError):
        names = [member.removeprefix("SIG") for member in Signals.__members__]
        raise Refused(f"kill: '{text[:40]}' is not a signal", did_you_mean(text[:40].upper(), names)) from None
    return text


def _cbr(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    if verb in ("start", "stop", "reset"):
        return verb, {}
    if verb != "set":
        raise _unknown(target, verb, ("start", "stop", "reset", "set"))
    if len(words) < 2:
        raise Refused("set expects a variable and its value, as in `$cbr set rate_ 1Mb`")
    readers: dict[str, Callable[[str], dict[str, Any]]] = {
        "packetSize_": lambda text: {"packet_size_bytes": integer(text, "packetSize_", 1, 65507)},
        "rate_": lambda text: {"rate_bps": world.whole(rate_kbps(text, of_link=False), "kbit/s") * 1000},
        "interval_": lambda text: {"interval_s": interval(text)},
        "iptos_": lambda text: {"type_of_service": integer(text, "iptos_", 0, 255)}}
    return "modify", _read(readers, words, target)


def _application(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    if verb not in ("start", "stop"):
        raise _unknown(target, verb, ("start", "stop"))
    return verb, {}


def _link(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    if verb in ("up", "down", "reset"):
        return verb, {}
    if verb in ("create", "clear"):
        world.ignore(f"event {verb} of a link", "links are made once, with the instance")
        return None
    if verb == "trace":
        return _trace(words), {}
    readers: dict[str, Callable[[str], dict[str, Any]]] = {
        "bandwidth": lambda text: {"bandwidth_bps": world.whole(rate_kbps(text), "kbit/s") * 1000},
        "delay": lambda text: {"delay_s": event_delay_s(text)},
        "plr": lambda text: {"loss": fraction(text, "plr")}}
    if verb not in readers:
        raise _unknown(target, verb, ("up", "down", "reset", "trace", *readers))
    if not words:
        raise Refused(f"{verb} lacks its value, as in `$link {verb} {dict(bandwidth='10Mb duplex', delay='20ms', plr='0.1')[verb]}`")
    return "modify", readers[verb](words[0])


def _queue(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    assert isinstance(target, Queue)
    place: dict[str, Any] = {"member": target.node.name}
    if verb == "trace":
        return _trace(words), place
    if verb != "set":
        raise _unknown(target, verb, ("set", "trace"))
    if len(words) < 2:
        raise Refused("set expects a variable and its value, as in `$queue set limit_ 50`")
    readers: dict[str, Callable[[str], dict[str, Any]]] = {
        "limit_": lambda text: {"queue_limit": Queue.settings["limit_"](text)},
        "queue-in-bytes_": lambda text: {"queue_unit": "bytes" if Queue.settings["queue-in-bytes_"](text) else "packets"},
        "thresh_": lambda text: {"red_min_threshold": positive(text, "thresh_")},
        "maxthresh_": lambda text: {"red_max_threshold": positive(text, "maxthresh_")},
        "linterm_": lambda text: {"red_linear_term": positive(text, "linterm_")},
        "q_weight_": lambda text: {"red_weight": Queue.settings["q_weight_"](text)}}
    direction = {"direction": "uplink"}
    return "modify", {**place, **direction, **_read(readers, words, target)}


def _node(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    if verb == "reboot":
        return "reboot", {}
    if verb == "snapshot-to":
        if not words:
            raise Refused("snapshot-to lacks the image's name")
        world.ignore("event snapshot-to of a node", "a node's disk cannot be made an image here: the event completes, and says so")
        return "snapshot", {"text": words[0]}
    if verb == "reload":
        world.ignore("event reload of a node", "a node's disk is made anew only with its instance")
        return None
    if verb in ("setdest", "color", "label"):
        world.ignore(f"event {verb} of a node", "robots do not exist here" if verb == "setdest" else LOOKS)
        return None
    raise _unknown(target, verb, ("reboot", "snapshot-to"))


def _started(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    if verb == "reset":
        world.ignore(f"event reset of a {target.noun}", "a sequence or timeline ends by itself, or with its run")
        return None
    if verb not in ("start", "run"):
        raise _unknown(target, verb, ("start", "run"))
    return verb, {}


def _to_nothing(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    world.ignore(f"event {verb} of '{target.name}'", "it is of a kind that means nothing here")
    return None


def _console(world: World, target: NsObject, verb: str, words: Words) -> Meaning | None:
    world.ignore(f"Console {verb}", Console.ignored["*"])
    return None


_KINDS: tuple[tuple[type[NsObject], Callable[[World, NsObject, str, Words], Meaning | None]], ...] = (
    (Program, _program), (Cbr, _cbr), (Application, _application), (LanLink, _link), (Queue, _queue), (Node, _node),
    (EventSequence, _started), (EventTimeline, _started), (Console, _console), (Nothing, _to_nothing))


def _instance(world: World, verb: str, words: Words, line: int) -> list[Told]:
    plain = {"terminate": "terminate", "halt": "terminate", "swapout": "swapout", "stoprun": "stop-run", "snapshot": "snapshot",
             "cleanlogs": "clean-logs"}
    if verb in plain:
        return [Told(None, plain[verb], {}, line)]
    if verb in ("msg", "message", "log"):
        return [Told(None, "log" if verb == "log" else "message", {"text": " ".join(words)}, line)]
    if verb == "report":
        given = options(tuple(words), ("-digester", "-archive"), "report")
        reasons = {"-digester": "Emulab runs it on ops, which does not exist here: run it as a program of a node before the report",
                   "-archive": "the record always holds logs and archive whole"}
        for option in given:
            world.ignore(f"report {option}", reasons[option])
        return [Told(None, "report", {}, line)]
    if verb == "startrun":
        if len(words) % 2:
            raise Refused("startrun expects pairs of a parameter's name and its value")
        return [Told(None, "start-run", {"parameters": dict(zip(words[::2], words[1::2], strict=True))} if words else {}, line)]
    if verb == "reset-lans":
        world.all_lans_reset = True
        return [Told(AllLans(world, "__all_lans", line), "reset", {}, line)]
    nothing = {"trace-for": "Emulab's idle monitor (slothd) does not exist here", "stabilize": "Emulab's feedback loop does not exist here",
               "linktest": "every record compares requested with achieved link properties"}
    if verb in nothing:
        world.ignore(f"event {verb}", nothing[verb])
        return []
    raise _unknown(world.simulator, verb, (*plain, "msg", "message", "log", "report", "startrun", "reset-lans", *nothing))


class AllLans(NsObject):
    """Emulab's group of all links and LANs; no Tcl command."""

    kind, noun = "EventGroup", "group"


def _trace(words: Words) -> str:
    if not words or words[0] not in TRACE_VERBS:
        raise Refused(f"trace expects one of {', '.join(TRACE_VERBS)}, not '{words[0] if words else ''}'")
    return TRACE_VERBS[words[0]]


def _read(readers: dict[str, Callable[[str], dict[str, Any]]], words: Words, target: NsObject) -> dict[str, Any]:
    if words[0] not in readers:
        raise Refused(f"'{words[0]}' of {target.name} cannot be changed by an event", did_you_mean(words[0], readers))
    return readers[words[0]](words[1])


def _unknown(target: NsObject | None, verb: str, known: tuple[str, ...]) -> Refused:
    what = f"'{target.name}' is a {target.noun} and" if target is not None else "the simulator"
    return Refused(f"{what} does not know the event '{verb}'", did_you_mean(verb, known))
