"""Instances, nodes and links as Python objects. Their methods are the verbs of the command line, done by the same functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from models.protocol.conductor import ActivityLine
from models.protocol.wires import ShownPipe
from models.spec import Node as NodeSpec
from models.spec import Spec
from models.states import InstanceState
from models.tables import Run
from swapbed import lifecycle
from swapbed.living import checkpoint_verbs, events, files, links, mending, modifying, programs, recordings, results, runs, swapping
from swapbed.living.access import Access
from swapbed.living.checkpoint_verbs import KnownCheckpoint
from swapbed.pictures.topology import Picture
from swapbed.present import html, instances, pipes
from swapbed.present.progress import Report, quiet

if TYPE_CHECKING:
    from swapbed.sources.source import Definition


def deploy(definition: Definition, *, name: str | None = None, start_run: bool = True, host: str | None = None, report: Report = quiet,
           **parameters: Any) -> Instance:
    """Make an instance of a template and start its first run. In a `with` it is destroyed at the end of the block.

    definition: a file or directory, a topology built here, or a spec. host: the one that it must be on; None: whichever has room.
    parameters: the template's, by name: `deploy("dumbbell.yml", DELAY="20ms")`.
    """
    known, evaluation = lifecycle.deploy(definition, name=name, parameters=parameters, start_run=start_run, host=host, report=report)
    return Instance(known.row.name, warnings=tuple(map(str, evaluation.warnings)))


def swapin(name: str, *, checkpoint: str | None = None, host: str | None = None) -> Instance:
    """An instance that was swapped out goes on; see `Instance.swapin`."""
    return Instance(swapping.swapin(name, checkpoint=checkpoint, host=host).row.name)


@dataclass(frozen=True)
class Handoff:
    """left: the name of the one that is in the store now. idle_s: how long their host was without either."""

    left: str
    came: Instance
    idle_s: float


def handoff(leaving: str | Instance, coming: str | Instance) -> Handoff:
    """One that is up is put into the store, and one that was swapped out goes on in its place, its host idle as shortly as can be."""
    done = swapping.handoff(*(each if isinstance(each, str) else each.id for each in (leaving, coming)))
    return Handoff(done.left.row.name, Instance(done.came.row.name), done.idle_s)


def fork(checkpoint: str | KnownCheckpoint, *, name: str | None = None, host: str | None = None, **parameters: Any) -> Instance:
    """A new instance that goes on from a checkpoint beside the other: an id, INSTANCE/EPOCH, INSTANCE for its newest, or the checkpoint.

    parameters: for all that is started in it from now on; what runs already keeps the values it was started with.
    """
    chosen = checkpoint if isinstance(checkpoint, str) else checkpoint.row.id
    return Instance(checkpoint_verbs.fork(chosen, name=name, parameters=parameters, host=host).row.name)


class Instances(list["Instance"]):
    """Living instances; a table in a notebook."""

    def _repr_html_(self) -> str:
        return instances.instances_html([instances.of(lifecycle.find(one.id)) for one in self])


def living() -> Instances:
    """All instances of this project that live and are on hosts."""
    return Instances(Instance(known.row.name) for known in lifecycle.all_living() if known.row.state == InstanceState.UP)


def attach(name: str) -> Instance:
    """A living instance, by name or id."""
    return Instance(lifecycle.find(name).row.name)


class Instance:
    """A living instance. `net["h1"]` is a node, `net.link("l0")` a link or LAN. warnings: what its source said that has no effect here."""

    def __init__(self, name: str, *, warnings: tuple[str, ...] = ()):
        self.name, self.warnings = name, warnings
        self._access = Access.to(name)

    @property
    def spec(self) -> Spec:
        return self._access.spec

    @property
    def id(self) -> str:
        return self._access.instance_id

    @property
    def state(self) -> str:
        return lifecycle.find(self.id).row.state

    @property
    def nodes(self) -> list[Node]:
        return [Node(self, node.name) for node in self.spec.nodes]

    @property
    def links(self) -> list[Link]:
        """LANs included."""
        return [Link(self, lan.name) for lan in self.spec.lans]

    def __getitem__(self, node: str) -> Node:
        return Node(self, self._access.node(node))

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def link(self, name: str) -> Link:
        return Link(self, self._access.lan(name).name)

    def event(self, target: str, verb: str, *, wait: bool = True, in_s: float = 0, timeout_s: float | None = None, **arguments: Any) -> int:
        """Tell something to a node, link, agent, group, sequence or timeline: `net.event("client", "run", timeout="5s")`. Its token."""
        told = events.event(self._access, target, verb, arguments)
        return events.send(self._access, told, wait=wait, in_s=in_s, timeout_s=timeout_s).token

    def events(self, *, since: int = 0) -> list[ActivityLine]:
        """What happened so far."""
        return list(events.happened(self._access, since=since))

    def record_events(self, action: recordings.Action, name: str = "") -> recordings.ShownRecording:
        """start, pause, continue, step or stop a recording of what is done by hand; see `swapbed.recordings`."""
        return recordings.control(self.id, action, name)

    def log(self, agent: str, *, run: int | None = None, invocation: str | None = None, stream: Literal["out", "err"] = "out") -> str:
        """What a program of an agent wrote; by default the last that ended."""
        return results.log(self._access, agent, run=run, invocation=invocation, stream=stream).decode(errors="replace")

    def results(self, run: int | None = None) -> list[results.Invocation]:
        """Every program that agents ran: its end, what it used, the values it reported as `RESULT name value`."""
        return results.invocations(self._access, run)

    def start(self, *, environment: Literal["inherit", "fresh"] | None = None, template: Definition | None = None,
              inputs: Sequence[str] = (), **parameters: Any) -> Run:
        """The next run, with these parameter values; the others are as in the last. template: what the instance becomes before that.
        inputs: files of records, as `net/1:nodes/a/archive/trace=b:/root/trace`."""
        run = runs.start(self.id, parameters, environment=environment, template=template, inputs=inputs)
        if template is not None or parameters:
            self._look_again()
        return run

    def run(self, *, timeout_s: float | None = None, **parameters: Any) -> Run:
        """The next run, with these parameter values, seen through: what became of it. It ends when nothing happens in it any more."""
        self.start(**parameters)
        return runs.see_through(self._access, timeout_s=timeout_s)

    def modify(self, definition: Definition, **parameters: Any) -> modifying.Modified:
        """Become another version of the template, or another template: nodes and links that are the same go on undisturbed."""
        modified = modifying.modify(self.id, definition, parameters)
        self._look_again()
        return modified

    def _look_again(self) -> None:
        self._access.close()
        self._access = Access.to(self.id)

    def stop(self) -> Run:
        """The run that is going on ends; returns what became of it."""
        return runs.stop(self.id)

    def wait(self, until: Literal["quiet", "idle", "over"] = "over", timeout_s: float | None = None) -> Run:
        """Until the run is over (or nothing more will happen by itself: quiet; or nothing runs either: idle). Raises TimedOut."""
        return runs.wait(self._access, until, timeout_s=timeout_s)

    @property
    def runs(self) -> list[Run]:
        return runs.all_of(self.id)

    def mend(self, *nodes: str) -> tuple[str, ...]:
        """Start again what is dead of it: of these nodes, or all, wires and conductor. What was started."""
        return mending.mend(self.id, nodes)

    def checkpoint(self) -> KnownCheckpoint:
        """Save it, whole, while it goes on; `swapbed.fork` starts what was saved beside it."""
        return checkpoint_verbs.create(self.id)

    def swapout(self) -> None:
        """Put it into the store, whole, and free its hosts."""
        swapping.swapout(self.id)

    def swapin(self, checkpoint: str | None = None, *, host: str | None = None) -> None:
        """Have it go on, as it was swapped out or as an earlier checkpoint of the same run; where it was, if that host can have it."""
        swapping.swapin(self.id, checkpoint=checkpoint, host=host)
        self._access.close()
        self._access = Access.to(self.id)

    def destroy(self) -> None:
        """Free everything it has on its hosts."""
        self._access.close()
        lifecycle.destroy(self.id)

    def __enter__(self) -> Instance:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.destroy()

    def __repr__(self) -> str:
        return f"<instance {self.name}>"

    def _repr_html_(self) -> str:
        known = lifecycle.find(self.id)
        return (html.heading(self.name, remark=instances.sentence(instances.of(known), known.spec)) + Picture(self.spec)._repr_html_()
                + html.table(pipes.COLUMNS, pipes.rows(links.show(self._access))))


class Node:
    """One node of a living instance."""

    def __init__(self, instance: Instance, name: str):
        self.instance, self.name = instance, name

    @property
    def spec(self) -> NodeSpec:
        return self.instance.spec.node(self.name)

    @property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """By interface, with prefix length."""
        return {member.interface: member.addresses for _, member in self.instance.spec.memberships(self.name)}

    def run(self, command: str | Sequence[str], *, check: bool = False, stdin: str | bytes = b"", timeout_s: float | None = None,
            directory: str | None = None, user: str | None = None, environment: Mapping[str, str] | None = None) -> programs.Completed:
        """Run a program and wait for it; see `swapbed.living.programs.run`."""
        return programs.run(self.instance._access, self.name, command, check=check, stdin=stdin, timeout_s=timeout_s, directory=directory,
                            user=user, environment=environment)

    def read(self, path: str) -> bytes:
        """The content of a file in the node."""
        return files.read(self.instance._access, self.name, path)

    def put(self, source: Path | str, target: str) -> None:
        """A file or tree of this machine into the node."""
        files.put(self.instance._access, self.name, Path(source), target)

    def get(self, source: str, target: Path | str) -> None:
        """A file or tree of the node to this machine."""
        files.get(self.instance._access, self.name, source, Path(target))

    def __repr__(self) -> str:
        return f"<node {self.name} of {self.instance.name}>"

    def _repr_html_(self) -> str:
        rows = [(m.interface, lan.name, ", ".join(m.addresses), m.mac) for lan, m in self.instance.spec.memberships(self.name)]
        return html.heading(self.name, remark=f"{self.spec.kind}, {self.spec.image}, of {self.instance.name}") + html.table(
            ("interface", "link or LAN", "addresses", "MAC"), rows)


class Link:
    """One link or LAN of a living instance."""

    def __init__(self, instance: Instance, name: str):
        self.instance, self.name = instance, name

    def set(self, **values: Any) -> None:
        """Only what is given changes: `set(delay="50ms", loss="1%")`; of one member's pipes with member, direction."""
        links.change(self.instance._access, self.name, values)

    def up(self, member: str | None = None) -> None:
        links.up(self.instance._access, self.name, member)

    def down(self, member: str | None = None) -> None:
        links.down(self.instance._access, self.name, member)

    def show(self) -> list[ShownPipe]:
        """Every pipe: as the spec asks, as it is shaped now, and what it did."""
        return links.show(self.instance._access, self.name)

    def __repr__(self) -> str:
        return f"<link {self.name} of {self.instance.name}>"

    def _repr_html_(self) -> str:
        return html.heading(self.name) + html.table(pipes.COLUMNS, pipes.rows(self.show()))
