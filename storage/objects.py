"""What Swapbed needs of an object store, as a contract that every back end passes (tests/storage/test_objects.py).

An object is a few MiB of immutable bytes under a key. Nothing here knows what is inside. Keys are written once: Swapbed never puts
different bytes under a key that was ever used for packs, so no operation needs conditions, which many S3 servers ignore. The few small
mutable objects (roots, the store's identity) are only written by the holder of a lease in the database.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from models.errors import InvalidInput

KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
KEY_LIMIT = 512
NEXT_IF_FULL = "Free space, or `swapbed store gc`; what was stored is intact"
Bytes = bytes | bytearray | memoryview


@dataclass(frozen=True)
class ObjectInfo:
    """modified_s: seconds since 1970, by the store's clock."""

    key: str
    size_bytes: int
    modified_s: float


class ObjectStore(Protocol):
    """Objects by key. Safe to be used by many threads and processes at once.

    Every method raises `StoreUnavailable` where trying again may help (no answer, 5xx, connection lost), another `StoreProblem`
    where it will not (credentials, permission, no bucket, a clock that is off, full), and InvalidInput for a key that `checked` refuses.
    """

    name: str
    """What error messages call it: the URL without credentials."""

    def put(self, key: str, data: Bytes) -> None:
        """Durable and readable by everybody when it returns; when it raises, the object is either not there or whole."""

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes start to end (exclusive; None: the object's end; a negative start counts from the end, as in a slice).

        NotFound if there is no such object. Shorter than asked for where the object ends earlier.
        """

    def size(self, key: str) -> int:
        """In bytes. NotFound if there is no such object."""

    def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """All objects whose key begins with prefix, in any order; those put or deleted meanwhile may or may not be among them."""

    def delete(self, keys: Iterable[str]) -> None:
        """After it, no bytes of these objects can be read, in no old version either. A missing one is no error."""


@dataclass(frozen=True)
class Permission:
    """A request that whoever holds it may make, once or more, until it expires. headers are part of it: they must be sent as they stand."""

    url: str
    headers: dict[str, str]


class Presigner(Protocol):
    """Lets somebody without credentials make one request. S3 has this itself; for a local directory the gate does it."""

    overwrites: bool
    """Whether a permission to put could be used again, within its lifetime, to replace what it put."""

    def permit_put(self, key: str, size_bytes: int, lifetime_s: int) -> Permission:
        """PUT of exactly so many bytes under that key."""

    def permit_get(self, key: str, start: int, end: int, lifetime_s: int) -> Permission:
        """GET of exactly these bytes of that object."""


def checked(key: str) -> str:
    """The key, if it is one: no empty part, no `.` or `..`, no leading slash, nothing that a path or URL could understand otherwise."""
    if len(key) > KEY_LIMIT or not KEY.fullmatch(key):
        raise InvalidInput(f"{key[:80]!r} is not a key of an object", next="Parts of letters, digits, '_', '-', '.' are joined by '/'")
    return key
