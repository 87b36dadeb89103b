"""The host agent: does on its host what `models.protocol.host` says, one request after the other, as JSON lines on two streams.

It keeps nothing of its own between requests, so any number of them may come and go, at once too: what must last is in the
instances' directories, and what must run is a daemon of an instance.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from pydantic import BaseModel, ValidationError

from models.errors import HostProblem, InvalidInput, SwapbedError
from models.protocol.checkpoint import Captured
from models.protocol.control import Nothing, Progress, Reply, Request
from models.protocol.host import (
    OPERATIONS,
    Capture,
    ChangeDaemon,
    ChangeInstance,
    ChangeNodes,
    CheckpointRestored,
    Create,
    DaemonStatus,
    DoctorReport,
    FetchCheckpoint,
    Instances,
    InstanceStatus,
    OfCheckpoint,
    OfInstance,
    Outbox,
    OutboxLines,
    ProgramEnded,
    Reap,
    Reaped,
    Relay,
    Relayed,
    RestoreCheckpoint,
    RunProgram,
    Send,
    Sent,
    Suits,
)
from models.protocol.runs import ForgetRun, KeepRun, KeptRun, PrepareRun
from nodeops import daemons, provisions, run_files
from nodeops.checkpoint import spooled
from nodeops.control import LINE_LIMIT_BYTES, ControlClient
from nodeops.create import create
from nodeops.destroy import destroy, reap
from nodeops.doctor import examine
from nodeops.init.client import InitClient
from nodeops.inspect import all_status, status
from nodeops.instance import holding, layout_of, the_record
from nodeops.modify import modify
from nodeops.reach import init_socket
from nodeops.restart import restart_nodes


class Agent:
    """One method per row of OPERATIONS. tell: sends progress of the request that is being done."""

    def __init__(self, tell: Callable[[str, int, int], None]):
        self.tell = tell

    def create(self, wanted: Create) -> InstanceStatus:
        with provisions.provided(wanted) as here:
            return status(create(here, self.tell))

    def destroy(self, which: ChangeInstance) -> Nothing:
        destroy(layout_of(which.instance), which.fence)
        return Nothing()

    def inspect(self, which: OfInstance) -> InstanceStatus:
        return status(layout_of(which.instance))

    def instances(self, _: Nothing) -> Instances:
        return Instances(instances=tuple(all_status()))

    def restart_nodes(self, which: ChangeNodes) -> InstanceStatus:
        layout = layout_of(which.instance)
        with holding(layout, which.fence):
            restart_nodes(layout, which.nodes, self.tell)
        return status(layout)

    def modify(self, wanted: Create) -> InstanceStatus:
        with provisions.provided(wanted) as here:
            return status(modify(here, self.tell))

    def start_daemon(self, which: ChangeDaemon) -> DaemonStatus:
        return self._daemon(which, begin=True)

    def restart_daemon(self, which: ChangeDaemon) -> DaemonStatus:
        return self._daemon(which, end=True, begin=True)

    def stop_daemon(self, which: ChangeDaemon) -> DaemonStatus:
        return self._daemon(which, end=True)

    def _daemon(self, which: ChangeDaemon, *, end: bool = False, begin: bool = False) -> DaemonStatus:
        layout = layout_of(which.instance)
        with holding(layout, which.fence):
            the_record(layout)
            if end:
                daemons.stop(layout, which.daemon)
            if begin:
                daemons.begin(layout, which.daemon)
                daemons.await_ready(layout, which.daemon)
        return daemons.status(layout, which.daemon)

    def run(self, program: RunProgram) -> ProgramEnded:
        if bool(program.command) == bool(program.argv):
            raise InvalidInput("a program is either a command or an argv", where=program.node)
        with init_socket(layout_of(program.instance).node(program.node)) as path, InitClient(path) as client:
            ended = client.run(program.command or program.argv, stdin=program.stdin, timeout_s=program.timeout_s,
                               environment=program.environment, directory=program.directory, user=program.user)
        return ProgramEnded(code=ended.code, stdout=ended.stdout, stderr=ended.stderr)

    def relay(self, wanted: Relay) -> Relayed:
        path = daemons.socket_of(layout_of(wanted.instance), wanted.daemon)
        with ControlClient(path, {}, timeout_s=wanted.timeout_s) as client:
            return Relayed(result=client.call_raw(wanted.operation, wanted.arguments))

    def outbox(self, wanted: Outbox) -> OutboxLines:
        layout = layout_of(wanted.instance)
        the_record(layout)
        whole = layout.outbox.read_bytes().split(b"\n")[:-1] if layout.outbox.exists() else []
        return OutboxLines(lines=tuple(json.loads(line) for line in whole[wanted.since:]), next=max(wanted.since, len(whole)))

    def prepare_run(self, wanted: PrepareRun) -> Nothing:
        run_files.prepare(wanted)
        return Nothing()

    def keep_run(self, wanted: KeepRun) -> KeptRun:
        return run_files.keep(wanted)

    def forget_run(self, which: ForgetRun) -> Nothing:
        run_files.forget(which)
        return Nothing()

    def capture(self, wanted: Capture) -> Captured:
        return spooled.make(wanted, self.tell)

    def give_up_capture(self, wanted: Capture) -> Nothing:
        spooled.give_up(wanted)
        return Nothing()

    def check_checkpoint(self, wanted: RestoreCheckpoint) -> Nothing:
        with provisions.provided(wanted.create) as here:
            spooled.check(wanted.model_copy(update={"create": here}))
        return Nothing()

    def restore_checkpoint(self, wanted: RestoreCheckpoint) -> CheckpointRestored:
        with provisions.provided(wanted.create) as here:
            return spooled.bring_back(wanted.model_copy(update={"create": here}), self.tell)

    def forget_checkpoint(self, which: OfCheckpoint) -> Nothing:
        spooled.forget(which.checkpoint)
        return Nothing()

    def fetch_checkpoint(self, wanted: FetchCheckpoint) -> Nothing:
        provisions.fetch_checkpoint(wanted)
        return Nothing()

    def suits(self, wanted: Suits) -> Nothing:
        with provisions.provided(wanted.create) as here:
            spooled.suits(wanted.requirements, here, wanted.host)
        return Nothing()

    def send(self, wanted: Send) -> Sent:
        return provisions.send(wanted)

    def reap(self, which: Reap) -> Reaped:
        return Reaped(instances=tuple(reap(which.instances)))

    def doctor(self, _: Nothing) -> DoctorReport:
        return examine()


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Until the requests end. Every one is answered, whatever happens; a caller that has gone ends the agent at the next answer."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, hard), hard))
    os.chdir("/")
    while line := requests.readline(LINE_LIMIT_BYTES):
        _answer(line, replies)


def _answer(line: bytes, replies: BinaryIO) -> None:
    def send(message: BaseModel) -> None:
        replies.write(message.model_dump_json().encode() + b"\n")
        replies.flush()

    number = 0
    try:
        request = Request.model_validate_json(line)
        number = request.id
        agent = Agent(_Telling(lambda text, done, total: send(Progress(id=number, text=text, done=done, total=total))))
        send(Reply(id=number, result=_do(agent, request)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        send(Reply(id=number, error=InvalidInput(f"malformed request: {first['msg']}", where=where or None).as_json()))
    except SwapbedError as error:
        send(Reply(id=number, error=error.as_json()))
    except OSError as error:
        send(Reply(id=number, error=HostProblem(error.strerror or str(error), where=error.filename).as_json()))


class _Telling:
    """Progress, but of one thing no more often than people can read: whoever is told it works for that, and takes it from the work."""

    PERIOD_S = 0.1

    def __init__(self, tell: Callable[[str, int, int], None]):
        self._tell = tell
        self._last, self._due_s = "", 0.0

    def __call__(self, text: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if text != self._last or done == total or now_s >= self._due_s:
            self._last, self._due_s = text, now_s + self.PERIOD_S
            self._tell(text, done, total)


def _do(agent: Agent, request: Request) -> dict[str, Any]:
    if request.operation not in OPERATIONS:
        raise InvalidInput(f"unknown operation '{request.operation}'", next=f"Known: {', '.join(sorted(OPERATIONS))}")
    arguments = OPERATIONS[request.operation].takes.model_validate(request.arguments)
    result: BaseModel = getattr(agent, request.operation)(arguments)
    return result.model_dump(mode="json")
