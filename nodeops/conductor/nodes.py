"""All the nodes' inits: connecting to them, noticing their deaths, passing orders on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable

from models.errors import Conflict, SwapbedError
from models.protocol.conductor import UNDELIVERED, Outcome
from models.protocol.init import Hello, Petition
from nodeops.conductor.happenings import ChangeNode, CleanLogs, Done, KeepLogs, NodeBack, NodeDied, Order, RotateFiles, WriteStatus
from nodeops.conductor.memory import Memory
from nodeops.conductor.node_link import NodeLink, Tell
from nodeops.conductor.spawning import LOGS, Speaker, tool_name
from nodeops.layout import InstanceLayout
from nodeops.reach import driver_socket

FIRST_RETRY_S, LAST_RETRY_S = 0.01, 0.5
DEAD_RETRY_S = 0.5  # a node that was started again is found without being told


class Nodes:
    """`maintain` now and then; `next_s` says when at the latest. links: by node; those whose fileno() is not -1 are to be polled."""

    def __init__(self, layout: InstanceLayout, names: Iterable[str], memory: Memory, speaker: Speaker, *, tell: Tell,
                 petition: Callable[[str, Petition], None], clock: Callable[[], int]):
        self.layout, self.memory, self.speaker = layout, memory, speaker
        self._tell, self._petition, self._clock = tell, petition, clock
        self.links: dict[str, NodeLink] = {}
        self.unsent: set[NodeLink] = set()
        self.changed = True  # other sockets than before are to be polled; whoever polls sets it back
        self.held = False  # no connections while the instance is suspended
        self._retry: dict[str, tuple[float, float]] = {}  # node → when to try next, how long to wait after that
        self.take(names, speaker)

    def take(self, names: Iterable[str], speaker: Speaker) -> None:
        """These nodes from now on; new ones are connected, the others let go."""
        self.speaker = speaker
        wanted = set(names)
        for node in self.links.keys() - wanted:
            self.links.pop(node).close()
            self._retry.pop(node, None)
        for node in wanted - self.links.keys():
            self._renew(node)

    def absent(self) -> list[str]:
        return [node for node, link in self.links.items() if not link.attached]

    def undecided(self, nodes: Iterable[str] = ()) -> bool:
        """Whether one of them (all, if none is named) neither answers nor is known to be dead."""
        dead = self.memory.machine.state.dead
        return any(not link.attached and node not in dead for node, link in self.links.items() if not nodes or node in nodes)

    def next_s(self) -> float | None:
        if self.held:
            return None
        due = [at for at, _ in self._retry.values()] + [link.greeted_by_s for link in self.links.values() if link.awaits_greeting]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def maintain(self) -> None:
        """Connect to those that are due, drop those whose connection broke."""
        now_s = time.monotonic()
        for node, link in self.links.items():
            if link.broken or link.overdue(now_s):
                link.close()
                self._renew(node)
        if self.held:
            return
        for node, (at_s, wait_s) in list(self._retry.items()):
            if at_s <= now_s:
                self._try(node, wait_s)

    def retry_now(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            if node in self._retry:
                self._retry[node] = (0.0, FIRST_RETRY_S)

    def order(self, order: Order) -> None:
        """What its init does not hear now, it hears when it answers; what is meant for a dead node fails."""
        if isinstance(order, CleanLogs):  # init does one thing after the other: what is started next finds its logs empty
            for each in self.links.values():
                if each.attached:
                    each.ask("clear", [("path", LOGS)])
            self._tell(Done, order=order.number)
            return
        node = getattr(order, "node", "")
        link: NodeLink | None = self.links.get(node)
        if link is None or node in self.memory.machine.state.dead:
            self._tell(Done, order=order.number, outcome=Outcome(code=UNDELIVERED, error=f"the node '{node}' is dead or not here"))
        elif link.attached:
            self._pass_on(link, order)

    def write_status(self, wanted: WriteStatus) -> None:
        link = self.links.get(wanted.node)
        if link is not None and link.attached:
            path = f"{LOGS}/{wanted.agent}/{wanted.log}.status"
            link.ask("write", [("path", path), ("truncate", "1")], data=json.dumps(wanted.status).encode() + b"\n")

    def answer(self, node: str, petition: int, *, error: str | None = None, text: str | None = None) -> None:
        """Whoever asked is gone with its node otherwise."""
        link = self.links.get(node)
        if link is not None and link.attached:
            items = [(key, value.replace("\0", "")) for key, value in (("error", error), ("text", text)) if value is not None]
            link.ask("answer", [("petition", str(petition)), *items])

    def let_go(self) -> None:
        """Close every connection, and make none until `held` is false again. What was not answered is asked again then."""
        self.held = True
        for node, link in list(self.links.items()):
            link.flush()
            link.close()
            self._renew(node)

    def _renew(self, node: str) -> None:
        self.links[node] = NodeLink(node, tell=self._tell, petition=self._petition, greeted=self._greeted, clock=self._clock,
                                    unsent=self.unsent)
        self.changed = True
        self._retry[node] = (0.0, FIRST_RETRY_S)

    def _try(self, node: str, wait_s: float) -> None:
        connected = False
        try:
            with driver_socket(self.layout.node(node)) as path:
                connected = self.links[node].connect(path)
        except Conflict as error:
            self._found_dead(node, error.what)
            return
        except SwapbedError:
            pass  # it was never started, or its init has not come so far: later
        if connected:
            self.changed = True
            del self._retry[node]
        else:
            self._retry[node] = (time.monotonic() + wait_s, min(2 * wait_s, LAST_RETRY_S))

    def _found_dead(self, node: str, reason: str) -> None:
        self._retry[node] = (time.monotonic() + DEAD_RETRY_S, DEAD_RETRY_S)
        if node not in self.memory.machine.state.dead:
            self._tell(NodeDied, node=node, reason=reason)

    def _greeted(self, link: NodeLink, hello: Hello) -> None:
        """Bring machine and node to the same view, then give the orders that it has not answered."""
        self._tell(NodeBack, node=link.node, incarnation=hello.incarnation, running=hello.invocation, last_order=hello.last_sequence)
        for order in sorted(self.memory.machine.state.outstanding.values(), key=lambda one: one.number):
            if getattr(order, "node", None) != link.node:
                continue
            is_tool = isinstance(order, RotateFiles | KeepLogs)
            if is_tool and order.number <= hello.last_sequence and tool_name(order.number) not in hello.invocation:
                self._tell(Done, order=order.number)  # there was nothing to do, and we did not hear of it
            else:
                self._pass_on(link, order)

    def _pass_on(self, link: NodeLink, order: Order) -> None:
        if isinstance(order, ChangeNode):
            link.change(order)
        else:
            operation, items, data = self.speaker.say(order, self.memory.machine.state.run)  # type: ignore[arg-type]
            link.order(order.number, operation, items, data)


