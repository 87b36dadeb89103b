"""What a host beyond SSH has in its spool, into the store and from there to this machine: the host sends it by itself, with a token."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from models.database import engine, reading, writing
from models.instances import run_by_id
from models.manifest import TreePolicy
from models.protocol.host import Send, Sent
from models.states import TransferState
from storage import transfers
from storage.store import Store
from tasks.sessions import HostReference, session_with
from tasks.store_access import gate


def send(host: HostReference, project: str, instance_id: str, kind: Literal["checkpoint", "run"], name: str, policy: TreePolicy) -> Sent:
    """Whoever pins what was stored ends its transfer."""
    with gate() as door, session_with(host) as session:
        return session.do("send", Send(kind=kind, name=name, policy=policy, access=door.to_store(host, project, instance_id)), Sent)


def bring_run(host: HostReference, project: str, run_id: str, directory: Path) -> None:
    """What the run left there, into a directory that is not there yet."""
    with reading() as session:
        instance_id = run_by_id(session, run_id).instance_id
    sent = send(host, project, instance_id, "run", run_id, TreePolicy())
    try:
        Store.of(project, trusting=instance_id).restore_tree(sent.stored.manifest, directory)
    finally:
        with writing(engine()) as session:
            transfers.end(session, [sent.transfer], TransferState.ABORTED)
