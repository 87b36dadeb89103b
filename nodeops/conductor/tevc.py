"""Events as Emulab's users send them from inside a node, `tevc now link0 modify DELAY=20`, in our own words.

Verbs in either case; arguments in Emulab's units, unless they have one: BANDWIDTH and RATE kbit/s, DELAY ms, TIMEOUT and INTERVAL s. What a
member sends into is LINK-NODE, what captures a link LINK-tracemon, the simulator `ns`.
"""

from __future__ import annotations

import re

from models.errors import InvalidInput
from models.spec import Spec, TargetKind

ARGUMENTS = {"COMMAND": "command", "DIR": "directory", "TIMEOUT": "timeout_s", "EXPECTED_EXIT_CODE": "expected_exit_code", "TAG": "tag",
             "SIGNAL": "signal", "BANDWIDTH": "bandwidth", "DELAY": "delay", "PLR": "loss", "LIMIT": "queue_limit",
             "QUEUE-IN-BYTES": "queue_unit", "THRESH": "red_min_threshold", "MAXTHRESH": "red_max_threshold",
             "LINTERM": "red_linear_term", "Q_WEIGHT": "red_weight", "PACKETSIZE": "packet_size_bytes", "RATE": "rate",
             "INTERVAL": "interval_s", "IPTOS": "type_of_service", "IMAGE": "text"}
UNITS = {"BANDWIDTH": "kbps", "RATE": "kbps", "DELAY": "ms"}
_SAME = {kind: {verb: verb for verb in verbs.split()} for kind, verbs in {
    TargetKind.PROGRAM: "start run stop kill set", TargetKind.TRAFFIC: "start stop reset modify",
    TargetKind.LAN: "up down modify reset", TargetKind.NODE: "reboot snapshot", TargetKind.SEQUENCE: "start run",
    TargetKind.TIMELINE: "start run", TargetKind.INSTANCE: "swapout snapshot report log message"}.items()}
VERBS = {**_SAME, TargetKind.PROGRAM: {**_SAME[TargetKind.PROGRAM], "modify": "set"},
         TargetKind.INSTANCE: {**_SAME[TargetKind.INSTANCE], "halt": "terminate", "terminate": "terminate", "stoprun": "stop-run",
                               "startrun": "start-run", "reset": "clean-logs"}}
TRACES = {"start": "trace-start", "stop": "trace-stop", "kill": "trace-stop", "snapshot": "trace-snapshot"}
_UPLINK = {"direction": "uplink"}
SIMULATOR, TRACEMON = "ns", "-tracemon"
_NUMBER = re.compile(r"[0-9.]+")


def in_our_words(target: str, verb: str, words: list[str], spec: Spec) -> tuple[str, str, dict[str, str]]:
    """Target, verb, and arguments as `swapbed-event` takes them. What is unknown is left as it is, to be refused with its name."""
    kinds = spec.targets()
    base = target if target in kinds else target.removesuffix(TRACEMON)
    member = None
    if base not in kinds:
        base, member = next(((lan.name, m.node) for lan in spec.lans for m in lan.members if base == f"{lan.name}-{m.node}"), (base, None))
    if target == SIMULATOR and SIMULATOR not in kinds:
        base = "instance"
    kind = kinds.get(base)
    if kind is TargetKind.GROUP:
        kind = kinds[next(group.members[0] for group in spec.groups if group.name == base)]
    known = TRACES if base != target and target.endswith(TRACEMON) else VERBS.get(kind, {}) if kind is not None else {}
    if kind is not None and verb.lower() not in known:
        raise InvalidInput(f"'{target}' does not know '{verb}' (it knows: {', '.join(known)})")
    said = _arguments(words, texts=verb.lower() in ("log", "message"))
    if member:
        said |= {"member": member} | (_UPLINK if verb.lower() == "modify" else {})
    return base, known.get(verb.lower(), verb), said


def _arguments(words: list[str], texts: bool) -> dict[str, str]:
    if texts:
        return {"text": " ".join(words)}
    said = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise InvalidInput(f"'{word}' is not of the form KEY=VALUE")
        name = ARGUMENTS.get(key.upper())
        if name == "queue_unit":
            value = "bytes" if value == "1" else "packets"
        elif key.upper() in UNITS and _NUMBER.fullmatch(value):
            value += UNITS[key.upper()]
        elif name == "signal":
            value = value.removeprefix("SIG")
        said[name or key] = value.removeprefix("{").removesuffix("}") if name == "directory" else value
    return said
