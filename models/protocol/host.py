"""What is said between whoever runs Swapbed and the host agent of one host (`python -m nodeops`): the frame is `control`'s.

Whatever changes an instance carries the caller's fence (the number of its lease): a host refuses a lower one than it has seen. All
changing operations are idempotent: run twice, or killed half-way and run again, they end in the same state.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from models.manifest import ManifestRef, Stored, TreePolicy
from models.protocol.checkpoint import Came, Captured, Life, Requirements
from models.protocol.control import Message, Nothing, Operation
from models.protocol.runs import ForgetRun, KeepRun, KeptRun, PrepareRun
from models.protocol.transfer import StoreAccess
from models.spec import Spec

DaemonName = Literal["wires", "conductor"]
DAEMONS: tuple[DaemonName, ...] = ("wires", "conductor")
InstanceState = Literal["creating", "ready", "destroying"]
InstanceId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]  # also the name of a directory


class StoredTree(Message):
    """A tree of the store, and what lets this host fetch it."""

    tree: ManifestRef
    access: StoreAccess


class FromStore(Message):
    """What a host beyond SSH fetches by itself. images: by their name in the spec."""

    images: dict[str, StoredTree] = {}
    datastore: StoredTree | None = None


class Create(Message):
    """Make an instance's share on this host and wait until every node's init answers and the daemons do.

    nodes: those of the spec that are placed here; None: all. images: name in the spec → directory with a root file system here.
    datastore: a directory here whose content becomes the instance's copy; None: empty. daemons: which to start.
    from_store: what of images and datastore is not here, but in the store.
    """

    instance: InstanceId
    name: str
    project: str = "default"
    fence: int = 0
    spec: Spec
    nodes: tuple[str, ...] | None = None
    images: dict[str, str] = {}
    datastore: str | None = None
    daemons: tuple[DaemonName, ...] = DAEMONS
    from_store: FromStore | None = None


class OfInstance(Message):
    instance: InstanceId


class ChangeInstance(Message):
    instance: InstanceId
    fence: int = 0


class NodeStatus(Message):
    """alive: its init runs. memory_bytes: of its cgroup, None where no controller tells. outside: its connections that leave the
    experiment, which no checkpoint can keep."""

    node: str
    alive: bool
    pid: int | None = None
    frozen: bool = False
    processes: int = 0
    memory_bytes: int | None = None
    outside: tuple[str, ...] = ()


class DaemonStatus(Message):
    daemon: DaemonName
    alive: bool
    pid: int | None = None


class InstanceStatus(Message):
    """What stands of an instance on this host."""

    instance: str
    name: str
    project: str
    state: InstanceState
    fence: int
    created_at: datetime
    nodes: tuple[NodeStatus, ...] = ()
    daemons: tuple[DaemonStatus, ...] = ()

    @property
    def whole(self) -> bool:
        """Everything that should live does."""
        return self.state == "ready" and all(node.alive for node in self.nodes) and all(daemon.alive for daemon in self.daemons)


class Instances(Message):
    instances: tuple[InstanceStatus, ...]


class ChangeNodes(Message):
    """nodes: some of the instance's on this host. Restarting: what runs in them is killed, their files stay."""

    instance: InstanceId
    fence: int = 0
    nodes: tuple[str, ...]


class ChangeDaemon(Message):
    """start: nothing if it runs already; restart: ends it first."""

    instance: InstanceId
    fence: int = 0
    daemon: DaemonName


class RunProgram(Message):
    """Run a program in a node and wait for its end; for streams and terminals see `nodeops.session.HostSession.popen`.

    command: for /bin/sh -c; argv: without a shell. Exactly one of them.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    instance: InstanceId
    node: str
    command: str | None = None
    argv: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    directory: str | None = None
    user: str | None = None
    stdin: bytes = b""
    timeout_s: float | None = None


class ProgramEnded(Message):
    """code: as a shell would say it: 128 + N after signal N, 127 if it could not be started."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    code: int
    stdout: bytes
    stderr: bytes


class Relay(Message):
    """A request for a daemon's own control socket: `models.protocol.wires` or `.conductor` say what can be asked."""

    instance: InstanceId
    daemon: DaemonName
    operation: str
    arguments: dict[str, Any] = {}
    timeout_s: float = 30


class Relayed(Message):
    result: dict[str, Any]


class Outbox(Message):
    """Lines of the instance's outbox from number `since` (the first is 0) on."""

    instance: InstanceId
    since: int = 0


class OutboxLines(Message):
    """next: what to ask for the next time. A line being written is not in it yet."""

    lines: tuple[dict[str, Any], ...]
    next: int


class Reap(Message):
    """Destroy the named instances, whatever state they are in; None: those that a crash left half made or half destroyed."""

    instances: tuple[InstanceId, ...] | None = None


class Reaped(Message):
    instances: tuple[str, ...]


CheckpointId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")]  # also the name of a directory


class Capture(ChangeInstance):
    """Make a checkpoint in this host's spool; the instance stands still then, until it is destroyed or the checkpoint given up.

    live: it goes on by itself as soon as nothing more has to be read of it. run: the id of the one that goes on.
    """

    checkpoint: CheckpointId
    life: Life
    live: bool = False
    run: CheckpointId | None = None


class RestoreCheckpoint(Message):
    """Bring a checkpoint of this host's spool to life. create: as what; next_message: see `models.protocol.conductor.Restore`.

    parameters: other values, for what is started from now on in the run that goes on, whose id is run. came: told among the events.
    """

    checkpoint: CheckpointId
    create: Create
    next_message: int | None = None
    parameters: dict[str, str] = {}
    run: CheckpointId | None = None
    came: Came | None = None


class CheckpointRestored(Message):
    """late_ns: how much later than planned a node was let go, and its clocks stepped. waited_ns: how long restored connections stood."""

    late_ns: int = 0
    waited_ns: int = 0
    attempts: int = 0


class OfCheckpoint(Message):
    checkpoint: CheckpointId


class FetchCheckpoint(OfCheckpoint):
    """Have it in this host's spool, in place of what has that name there."""

    stored: StoredTree


class Suits(Message):
    """Whether this host, which goes by that name, has what a checkpoint requires that is to come back as that."""

    host: str
    requirements: Requirements
    create: Create


class Send(Message):
    """Put into the store what this host's spool has: a checkpoint, or what a run of that id left."""

    kind: Literal["checkpoint", "run"]
    name: CheckpointId
    policy: TreePolicy
    access: StoreAccess


class Sent(Message):
    """transfer: to be ended by whoever pins what was stored, or needs it no more."""

    stored: Stored
    transfer: str


class Check(Message):
    """One thing this host can or cannot do. what: a sentence; next: what would mend it."""

    name: str
    status: Literal["ok", "warn", "fail"]
    what: str
    next: str | None = None


class DoctorReport(Message):
    checks: tuple[Check, ...]

    @property
    def usable(self) -> bool:
        return all(check.status != "fail" for check in self.checks)


OPERATIONS: dict[str, Operation] = {
    "create": Operation(takes=Create, gives=InstanceStatus),
    "destroy": Operation(takes=ChangeInstance, gives=Nothing),
    "inspect": Operation(takes=OfInstance, gives=InstanceStatus),
    "instances": Operation(takes=Nothing, gives=Instances),
    "restart_nodes": Operation(takes=ChangeNodes, gives=InstanceStatus),
    # The instance, which stands and in which no run goes on, becomes that spec. Its datastore stays the one it has.
    "modify": Operation(takes=Create, gives=InstanceStatus),
    "start_daemon": Operation(takes=ChangeDaemon, gives=DaemonStatus),
    "restart_daemon": Operation(takes=ChangeDaemon, gives=DaemonStatus),
    "stop_daemon": Operation(takes=ChangeDaemon, gives=DaemonStatus),
    "run": Operation(takes=RunProgram, gives=ProgramEnded),
    "relay": Operation(takes=Relay, gives=Relayed),
    "outbox": Operation(takes=Outbox, gives=OutboxLines),
    "prepare_run": Operation(takes=PrepareRun, gives=Nothing),
    "keep_run": Operation(takes=KeepRun, gives=KeptRun),
    "forget_run": Operation(takes=ForgetRun, gives=Nothing),
    "capture": Operation(takes=Capture, gives=Captured),
    # The instance goes on where it stands, also after whoever captured it has died; what is in the spool is removed.
    "give_up_capture": Operation(takes=Capture, gives=Nothing),
    # Refused for whatever can be known of before anything is made.
    "check_checkpoint": Operation(takes=RestoreCheckpoint, gives=Nothing),
    "restore_checkpoint": Operation(takes=RestoreCheckpoint, gives=CheckpointRestored),
    "forget_checkpoint": Operation(takes=OfCheckpoint, gives=Nothing),
    "fetch_checkpoint": Operation(takes=FetchCheckpoint, gives=Nothing),
    "suits": Operation(takes=Suits, gives=Nothing),
    "send": Operation(takes=Send, gives=Sent),
    "reap": Operation(takes=Reap, gives=Reaped),
    "doctor": Operation(takes=Nothing, gives=DoctorReport),
}
