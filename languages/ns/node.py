"""Nodes, and their consoles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from languages.ns.objects import Nothing, NsObject, command, options
from languages.ns.refusal import Refused

if TYPE_CHECKING:
    from languages.ns.lanlink import LanLink, Member
    from languages.ns.world import World

NSE = "Emulab's simulator inside the testbed (NSE) does not exist here"
LOOKS = "ns-2's animator (nam) does not exist here"


@dataclass(frozen=True)
class Tarball:
    directory: str
    path: str
    line: int


@dataclass
class AddedRoute:
    """destination: a node, link, LAN or one direction of a link."""

    destination: NsObject
    hop: Node
    line: int


class Console(NsObject):
    """The serial console, which containers have not, and whose log init keeps anyway."""

    kind, noun = "Console", "console"
    ignored = {"*": "nodes have no serial console here"}


class Node(NsObject):
    """ports: a node's places in links and LANs, in the order they were made."""

    kind, noun = "Node", "node"
    ignored = {
        **dict.fromkeys(("add-desire", "get-desire", "add-attribute"), "placement on Emulab's hardware"),
        **dict.fromkeys(("set-fw-style", "add-rule"), "firewalls of Emulab; nodes reach the outside only if asked for"),
        **dict.fromkeys(("add_ipalias", "want_ipaliases"), "further addresses of an interface; say them in YAML"),
        "topography": "robots and their coordinates",
        "set_numeric_id": "sensor nodes' numbers",
        "attach-agent": "use `$ns attach-agent`",
        "make-simulated": NSE,
        "color": LOOKS,
        "shape": LOOKS,
        "label": LOOKS,
        "add-mark": LOOKS,
        "delete-mark": LOOKS,
        "random-motion": LOOKS,
    }
    ignored_variables = dict.fromkeys(("X_", "Y_", "Z_", "orientation_"), "coordinates")

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.ports: list[Member] = []
        self.routes: list[AddedRoute] = []
        self.agents_attached = 0
        self.hardware: str | None = None
        self.image: str | None = None
        self.failure: str | None = None
        self.startup: str | None = None
        self.tarballs: list[Tarball] = []
        self.packages: tuple[str, ...] = ()
        self.memory_mib: int | None = None
        self.console: Console | None = None

    def port_in(self, lanlink: LanLink) -> Member | None:
        """The first of this node's places in it."""
        return next((m for m in self.ports if m.lanlink is lanlink), None)

    def next_port_number(self) -> int:
        """Of traffic agents: 5001, 5002, … in the order they are attached."""
        self.agents_attached += 1
        return 5000 + self.agents_attached

    @command("program-agent", "[OPTION] …")
    def program_agent(self, *words: str) -> str:
        from languages.ns.program import Program, new_program

        given = options(words, ("-command", "-dir", "-timeout", "-expected-exit-code"), "program-agent")
        program = new_program(self.world, Program)
        program.node = self
        for option, variable in (
            ("-command", "command"),
            ("-dir", "dir"),
            ("-timeout", "timeout"),
            ("-expected-exit-code", "expected-exit-code"),
        ):
            if option in given:
                program.set_variable(variable, given[option])
        return program.name

    @command("disk-agent", "[OPTION] …")
    def disk_agent(self, *words: str) -> str:
        return self._agent_of_nothing("disk-agent", "disks beside the node's own; use the datastore and the archive")

    @command("custom-agent", "[OPTION] …")
    def custom_agent(self, *words: str) -> str:
        return self._agent_of_nothing("custom-agent", "agents of your own in Emulab's event system; use program agents")

    def _agent_of_nothing(self, name: str, reason: str) -> str:
        self.world.ignore(f"Node {name}", reason)
        return self.world.add(Nothing(self.world, f"{name}{self.world.next_new()}", self.world.here())).name

    @command("start-command", "COMMAND")
    def start_command(self, text: str) -> str:
        from languages.ns.program import start_command

        return start_command(self, text).name

    @command("add-route", "DESTINATION HOP")
    def add_route(self, destination: str, hop: str) -> None:
        from languages.ns.lanlink import LanLink, SimplexLink

        to = self.world.find(destination, Node, LanLink, SimplexLink, what="add-route")
        if any(route.destination is to for route in self.routes):
            raise Refused(f"there is already a route from {self.name} to {to.name}")
        self.routes.append(AddedRoute(to, self.world.find(hop, Node, what="add-route"), self.world.here()))

    @command("console")
    def get_console(self) -> str:
        if self.console is None:
            self.console = self.world.add_named(Console(self.world, f"{self.name}-console", self.world.here()))
        return self.console.name
