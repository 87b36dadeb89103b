"""Tokens: a short-lived permission for one host to store, or to fetch named manifests, for one instance of one project.

A token is `base64url(JSON).base64url(HMAC-SHA256)`. It is only as good as its `Transfer` row, which it may begin once. Whoever begins it
is given a secret for the calls that follow, of which the row keeps the hash: a token found in a log afterwards is worth nothing.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from sqlalchemy import Engine, insert, select, update
from sqlmodel import Session

from models.database import reading, writing
from models.database_clock import DatabaseNow
from models.errors import Denied
from models.manifest import ManifestRef
from models.protocol.transfer import Call, Operations, TokenBody
from models.states import TransferState
from models.tables import SCHEMA
from storage import transfers
from storage.catalog import Catalog
from storage.chunking import name_of

TRANSFER, PROJECT = SCHEMA.tables["transfer"], SCHEMA.tables["project"]
LIFE_S = 300.0  # to begin with it
KEY_BYTES = 32
NONCE_BYTES = 16


def token_key(state_dir: Path) -> bytes:
    """This installation's, made at the first call: of all processes at once, one's becomes it."""
    path = state_dir / "token.key"
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        made = path.with_name(f"token.key.{os.urandom(4).hex()}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(os.urandom(KEY_BYTES))
        try:
            os.link(made, path)
        except FileExistsError:
            pass
        finally:
            made.unlink()
    return path.read_bytes()


def issue(catalog: Catalog, key: bytes, instance: str, operation: Operations, manifests: Sequence[ManifestRef] = (),
          life_s: float = LIFE_S) -> str:
    """A token for one host. manifests: what may be fetched, each with all it reaches; nothing else may."""
    nonce = os.urandom(NONCE_BYTES).hex()
    with writing(catalog.on) as session:
        expires_s = session.connection().execute(select(DatabaseNow() + life_s)).scalar_one()
        session.connection().execute(insert(TRANSFER).values(
            id=nonce, project_id=catalog.project_id, instance=instance, operation=operation, state=TransferState.ISSUED, secret_hash="",
            manifests=[manifest.model_dump(mode="json") for manifest in manifests], expires_s=expires_s, sent_bytes=0))
    body = TokenBody(transfer=nonce, project=catalog.project, instance=instance, operation=operation, expires_s=expires_s)
    text = _encode(body.model_dump_json().encode())
    return f"{text}.{_encode(sign(key, b'token', text.encode()))}"


def read_token(token: str, key: bytes) -> TokenBody:
    """What it says. Raises Denied unless it was signed with our key."""
    text, _, signature = token.partition(".")
    try:
        if hmac.compare_digest(_decode(signature), sign(key, b"token", text.encode())):
            return TokenBody.model_validate_json(_decode(text))
    except (binascii.Error, ValueError, ValidationError) as error:
        raise Denied("this is no token") from error
    raise Denied("this token is forged, or of another installation")


def begin(session: Session, body: TokenBody) -> tuple[str, list[ManifestRef]]:
    """Open the transfer; returns its secret and manifests. Raises Denied for a token that was used before, withdrawn, or has expired."""
    secret = os.urandom(NONCE_BYTES).hex()
    mine = (TRANSFER.c.id == body.transfer, TRANSFER.c.state == TransferState.ISSUED, TRANSFER.c.expires_s > DatabaseNow())
    opening = update(TRANSFER).where(*mine).values(
        state=TransferState.OPEN, epoch=transfers.epoch(session), secret_hash=name_of(secret.encode()).hex(),
        expires_s=DatabaseNow() + transfers.LIFE_S)
    opened = session.connection().execute(opening.returning(TRANSFER.c.manifests)).first()
    if opened is None:
        raise Denied("this token has expired, was used before, or was withdrawn", where=f"transfer {body.transfer}",
                     next="Ask for a new one; what has arrived is not sent again")
    return secret, [ManifestRef.model_validate(item) for item in opened.manifests]


class Authorized(NamedTuple):
    """Whose transfer a call belongs to."""

    project: str
    instance: str
    operation: Operations


def authorize(on: Engine, call: Call, operation: Operations | None = None) -> Authorized:
    """Raise Denied unless this transfer is open, the secret is its own, and it is for that operation. Renews it in time."""
    columns = (TRANSFER.c.secret_hash, TRANSFER.c.operation, TRANSFER.c.instance, PROJECT.c.name,
               (TRANSFER.c.expires_s - DatabaseNow()).label("left_s"))
    with reading(on) as session:
        row = session.connection().execute(
            select(*columns).join(PROJECT, TRANSFER.c.project_id == PROJECT.c.id).where(TRANSFER.c.id == call.transfer)).first()
    if row is None or not row.secret_hash or not hmac.compare_digest(row.secret_hash, name_of(call.secret.encode()).hex()):
        raise Denied("no such transfer, or not the secret of it", where=f"transfer {call.transfer[:32]}")
    if operation is not None and row.operation != operation:
        raise Denied(f"this transfer may {row.operation}, not {operation}", where=f"transfer {call.transfer}")
    if row.left_s < transfers.LIFE_S / 2:
        with writing(on) as session:
            transfers.renew(session, call.transfer)
    return Authorized(row.name, row.instance, row.operation)


def sign(key: bytes, purpose: bytes, *parts: bytes) -> bytes:
    """An HMAC over parts that cannot be shifted against each other."""
    return hmac.digest(key, b"".join(len(part).to_bytes(4, "little") + part for part in (purpose, *parts)), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
