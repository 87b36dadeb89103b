"""The files of a run on this host: what it is to find, and what it leaves for its record.

    spool/runs/RUN/begin.json    when the run began, and what the pipes had done by then
    spool/runs/RUN/content/      what the record will hold of this host: nodes/NODE/{logs,archive,files}, traces, links, surroundings
    spool/runs/RUN/kept.json     written last: the content is whole

The spool is beside the instances, so that a run's data outlive its instance until its record is in the store.
At a run's end the conductor has had each node put its logs and a copy of its archive away, in /swapbed/runs/NUMBER of the node,
where nothing writes to them (`rotate` of init). From there they come here by hard links, whatever their size.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from models.errors import HostProblem, NotFound, SwapbedError
from models.protocol.control import Message
from models.protocol.runs import ForgetRun, KeepRun, KeptRun, LinkOfRun, Links, PrepareRun
from models.protocol.wires import ShownPipe
from models.settings import settings
from models.spec import Spec
from nodeops import daemons
from nodeops.collecting_files import collect
from nodeops.fresh import make_fresh
from nodeops.instance import InstanceRecord, holding, layout_of, read_spec, the_record
from nodeops.layout import InstanceLayout, NodeLayout
from nodeops.room import make_room
from nodeops.staging import Staged, Staging
from nodeops.surroundings import surroundings
from nodeops.vm import keeping, ports
from nodeops.whole_file import write_whole
from nodeops.wires.client import WiresClient

COUNTED = ("in_frames", "out_frames", "out_bytes", "dropped_queue", "dropped_red", "dropped_loss", "dropped_down")
MISSED = ("missed_frames", "refused_frames")
SAME = ("lan", "node", "interface", "direction")


class Begin(Message):
    """begin.json. at_ns: wall clock. counts: of each pipe, in the order of COUNTED and MISSED."""

    at_ns: int
    counts: dict[str, tuple[int, ...]] = {}


def spool_of(run: str) -> Path:
    return settings().state_dir / "spool" / "runs" / run


def content_of(run: str) -> Path:
    return spool_of(run) / "content"


def begin_of(run: str) -> Path:
    return spool_of(run) / "begin.json"


def _make_spool(run: str) -> None:
    make_room(spool_of(run).parent)
    spool_of(run).mkdir(exist_ok=True, mode=0o700)


def begin_as(run: str, begin: Path) -> None:
    """The run began as that file says, on another host than this one. What this host knows of it already stays."""
    if not begin_of(run).exists():
        _make_spool(run)
        write_whole(begin_of(run), begin.read_bytes())


def prepare(wanted: PrepareRun) -> None:
    """Idempotent. Raises what making nodes raises, if fresh ones are wanted."""
    layout = layout_of(wanted.instance)
    with holding(layout, wanted.fence):
        if (spool_of(wanted.run) / "begin.json").exists():
            return
        if wanted.fresh:
            make_fresh(layout)
        counts: dict[str, tuple[int, ...]] = {}
        with suppress(NotFound), WiresClient(layout) as wires:
            wires.measure()
            counts = {_name(pipe): _counts(pipe) for pipe in wires.show()}
        _make_spool(wanted.run)
        write_whole(spool_of(wanted.run) / "begin.json", Begin(at_ns=time.time_ns(), counts=counts).model_dump_json().encode())


def keep(wanted: KeepRun) -> KeptRun:
    """Idempotent. Raises HostProblem where the disk is full: nothing is lost then, and it can be asked again."""
    layout, spool = layout_of(wanted.instance), spool_of(wanted.run)
    if (spool / "kept.json").exists():
        return KeptRun.model_validate_json((spool / "kept.json").read_bytes())
    with holding(layout, wanted.fence):
        try:
            shutil.rmtree(spool / "content", ignore_errors=True)
            (spool / "content").mkdir(parents=True, mode=0o700)
            kept = _keep(layout, wanted, spool)
            write_whole(spool / "kept.json", kept.model_dump_json().encode())
        except OSError as error:
            raise HostProblem(f"the run's files cannot be put aside: {error.strerror}", where=error.filename or str(spool),
                              next="Make room; stopping the run can be tried again") from error
    return kept


def forget(which: ForgetRun) -> None:
    shutil.rmtree(spool_of(which.run), ignore_errors=True)


def _keep(layout: InstanceLayout, wanted: KeepRun, spool: Path) -> KeptRun:
    record, spec, content = the_record(layout), read_spec(layout), spool / "content"
    begin = Begin.model_validate_json((spool / "begin.json").read_bytes()) if (spool / "begin.json").exists() else Begin(at_ns=0)
    files, copied, left_out = 0, 0, []
    for name in record.nodes:
        staged = _keep_node(layout.node(name), spec, wanted.number, content / "nodes" / name, begin.at_ns)
        files, copied = files + staged.files, copied + staged.copied_bytes
        left_out += [f"{name}: {what}" for what in staged.left_out]
    traces = Staging(copy=lambda path, info: False)
    traces.stage(layout.root / "traces" / str(wanted.number), content / "traces")
    _describe(layout, record, begin, content)
    return KeptRun(files=files + traces.staged.files, copied_bytes=copied, left_out=tuple(left_out))


def _keep_node(node: NodeLayout, spec: Spec, number: int, target: Path, begin_ns: int) -> Staged:
    """A node that died has put nothing away: what it left where it stood is copied."""
    put_away = node.upper / "swapbed" / "runs" / str(number)
    linking, copying = Staging(copy=lambda path, info: False), Staging()
    if ports.is_vm(node.root):
        keeping.keep(node, number, target, copying.staged)
    elif put_away.is_dir():
        linking.stage(put_away, target)
        copying.staged = linking.staged
        _name_what_stayed(node, copying.staged)
    else:
        copying.stage(node.logs, target / "logs")
        copying.stage(node.archive, target / "archive")
    collect(node, spec, target / "files", begin_ns, copying.staged)
    return copying.staged


def _name_what_stayed(node: NodeLayout, staged: Staged) -> None:
    """FIFOs, sockets and devices, which `rotate` passes over."""
    for directory in (node.logs, node.archive):
        seen = Staging(take=lambda path, info: False)
        seen.stage(directory, directory)  # takes nothing, so nothing is made
        staged.left_out += [f"{directory.name}/{what}" for what in seen.staged.left_out]


def _describe(layout: InstanceLayout, record: InstanceRecord, begin: Begin, content: Path) -> None:
    links: tuple[LinkOfRun, ...] = ()
    if daemons.status(layout, "wires").alive:
        with suppress(SwapbedError), WiresClient(layout) as wires:
            links = tuple(_link(pipe, begin) for pipe in sorted(wires.show(), key=_name))
    (content / "links.json").write_text(Links(links=links).model_dump_json(indent=1))
    (content / "surroundings.json").write_text(surroundings(record.images, record.nodes).model_dump_json(indent=1))


def _name(pipe: ShownPipe) -> str:
    return " ".join(getattr(pipe, part) for part in SAME)


def _counts(pipe: ShownPipe) -> tuple[int, ...]:
    return (*(getattr(pipe.tally, name) for name in COUNTED), *(getattr(pipe, name) for name in MISSED))


def _link(pipe: ShownPipe, begin: Begin) -> LinkOfRun:
    """Wires that were started again since count from zero: then what they have counted is all there is."""
    before = begin.counts.get(_name(pipe), (0,) * len(_counts(pipe)))
    fields: dict[str, Any] = {name: getattr(pipe, name) for name in LinkOfRun.model_fields if name not in COUNTED}
    for name, now, then in zip((*COUNTED, *MISSED), _counts(pipe), before, strict=True):
        fields[name] = now - then if now >= then else now
    return LinkOfRun(**fields)


def kept_runs() -> Iterator[str]:
    """Ids of runs whose data wait in this host's spool."""
    spool = settings().state_dir / "spool" / "runs"
    yield from sorted(path.name for path in spool.iterdir()) if spool.is_dir() else ()
