"""Transfers: who is storing or fetching just now. A garbage collection frees nothing that one of them may still count on.

A transfer is alive while it is open and renewed; every use renews it, in the same transaction, or is refused. So one that was thought
dead cannot come back. Expiry is by the database's clock; which transfers a collection waits for is decided by epochs, not by clocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from sqlalchemy import Engine, case, insert, select, update
from sqlmodel import Session

from models.database import writing
from models.database_clock import DatabaseNow
from models.errors import Denied
from models.manifest import ManifestRef
from models.states import TransferState
from models.tables import SCHEMA

TRANSFER, STORE = SCHEMA.tables["transfer"], SCHEMA.tables["store"]
LIFE_S = 900.0  # without being used
HOLD_S = 3600.0  # after its manifest was committed, for whoever pins it
NONCE_BYTES = 16


def epoch(session: Session) -> int:
    """The store's. The row is made by the first who asks."""
    found = epoch_if_any(session)
    if found is None:
        session.connection().execute(insert(STORE).values(id=1, identity=os.urandom(NONCE_BYTES).hex(), epoch=0, condemned_epoch=0))
        return 0
    return found


def epoch_if_any(session: Session) -> int | None:
    """The same, for a transaction that only reads. None: nobody has asked for it before."""
    return session.connection().execute(select(STORE.c.epoch).where(STORE.c.id == 1)).scalar()


def open_transfer(on: Engine, project_id: str, operation: str, *, instance: str = "", life_s: float = LIFE_S) -> str:
    """Begin one of Swapbed's own process; returns its id."""
    with writing(on) as session:
        return begin(session, project_id, operation, instance=instance, life_s=life_s)


def begin(session: Session, project_id: str, operation: str, *, instance: str = "", life_s: float = LIFE_S) -> str:
    """The same, where a transaction is open already."""
    name = os.urandom(NONCE_BYTES).hex()
    session.connection().execute(insert(TRANSFER).values(
        id=name, project_id=project_id, instance=instance, operation=operation, state=TransferState.OPEN, manifests=[], secret_hash="",
        epoch=epoch(session), expires_s=DatabaseNow() + life_s, sent_bytes=0))
    return name


def renew(session: Session, transfer_id: str, life_s: float = LIFE_S) -> None:
    """It is used now, and lives at least life_s longer. Raises Denied if it is over."""
    until = DatabaseNow() + life_s
    alive = session.connection().execute(
        update(TRANSFER).where(TRANSFER.c.id == transfer_id, TRANSFER.c.state == TransferState.OPEN, TRANSFER.c.expires_s > DatabaseNow())
        .values(expires_s=case((TRANSFER.c.expires_s > until, TRANSFER.c.expires_s), else_=until)))
    if alive.rowcount != 1:
        raise Denied("this transfer is over, or was silent for too long", where=f"transfer {transfer_id}",
                     next="Begin a new one; what has arrived is not sent again")


def end(session: Session, transfers: Iterable[str], state: TransferState = TransferState.FINISHED) -> None:
    """Whatever they were told is now pinned, or never will be."""
    session.connection().execute(update(TRANSFER).where(TRANSFER.c.id.in_(list(transfers)), TRANSFER.c.state.in_(
        [TransferState.OPEN, TransferState.ISSUED])).values(state=state, secret_hash=""))


def hold(session: Session, transfer_id: str, manifest: ManifestRef) -> None:
    """The transfer has committed this manifest: it lives HOLD_S longer, so that it can be pinned. Raises Denied if it is over."""
    renew(session, transfer_id, HOLD_S)
    held = session.connection().execute(select(TRANSFER.c.manifests).where(TRANSFER.c.id == transfer_id)).scalar_one()
    session.connection().execute(update(TRANSFER).where(TRANSFER.c.id == transfer_id).values(
        manifests=[*held, manifest.model_dump(mode="json")]))
