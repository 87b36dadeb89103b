"""What a host and the transfer service say to each other: the metadata path of the store. The data itself goes to the store directly.

A host begins with its token, once, and is given a secret that every further call carries. Hashes travel as base64 of 32 bytes each, joined.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from models.manifest import Base64, Hash, ManifestRef
from models.protocol.control import Message, Nothing, Operation

Operations = Literal["store", "fetch"]


class TokenBody(Message):
    """What a token says; it is signed. transfer: also the nonce, so that it begins one only. expires_s: the last moment to begin."""

    transfer: str = Field(pattern=r"^[0-9a-f]{32}$")
    project: str
    instance: str
    operation: Operations
    expires_s: float


class StoreAccess(Message):
    """What a host is handed to reach the store: where, and with what permission."""

    gate: str
    token: str


class Begin(Message):
    token: str


class Begun(Message):
    """manifests: what may be fetched."""

    transfer: str
    secret: str
    project: str
    operation: Operations
    manifests: tuple[ManifestRef, ...] = ()


class Call(Message):
    """Base of what is said within a transfer."""

    transfer: str
    secret: str


class Ask(Call):
    """Which of these chunks must be sent? final: do not refer me to others who are just sending them."""

    hashes: Base64
    final: bool = False


class Asked(Message):
    """The answers, a letter per hash: k(nown), u(nknown), e(lsewhere)."""

    answers: str


class PackOffer(Message):
    name: Hash
    size_bytes: int = Field(gt=0)


class PermitPut(Call):
    pack: PackOffer


class Permitted(Message):
    url: str
    headers: dict[str, str]


class Claim(Call):
    """The pack has been put."""

    name: Hash


class Commit(Call):
    manifest: ManifestRef


class Parent(Message):
    """A node whose children are wanted, and the pass that came with it (empty: it is one of the transfer's manifests)."""

    kind: int
    hash: Hash
    permit: str = ""


class Open(Call):
    """Where do the children of these nodes lie? only: hashes; None: all of them. No parents: the transfer's manifests themselves."""

    parents: tuple[Parent, ...] = ()
    only: Base64 | None = None
    avoid: tuple[Hash, ...] = ()


class OpenedRun(Message):
    """Neighbouring chunks and the permission to read just them. chunks: base64 of `storage.pack.INDEX_RECORD`s."""

    pack: Hash
    start: int
    end: int
    chunks: Base64
    url: str
    headers: dict[str, str]


class Opened(Message):
    """permits: by hash, of the nodes among the chunks, so that they may be parents."""

    runs: tuple[OpenedRun, ...]
    permits: dict[Hash, str] = {}


class End(Call):
    """A fetch is over, or a storing is given up. One that has committed ends when its manifest is pinned."""


TRANSFER_OPERATIONS: dict[str, Operation] = {
    "begin": Operation(takes=Begin, gives=Begun),
    "ask": Operation(takes=Ask, gives=Asked),
    "permit-put": Operation(takes=PermitPut, gives=Permitted),
    "claim": Operation(takes=Claim, gives=Nothing),
    "commit": Operation(takes=Commit, gives=Nothing),
    "open": Operation(takes=Open, gives=Opened),
    "end": Operation(takes=End, gives=Nothing),
}
