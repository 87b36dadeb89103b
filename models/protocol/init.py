"""What is said between a node's init and whoever drives it (conductor, `exec`), over a unix or virtio-serial stream.

Init is a small static C program (`nodeops/init`), so the wire form is easier than JSON: a message is a 4-byte little-endian
length and that many bytes of `key=value` items, each ended by a NUL; keys may repeat; bytes of a `data` item go last, raw.
`encode`/`decode` are its whole definition in Python. Commands of the conductor carry `sequence`, a number that init
remembers: one it has seen is answered again, not done again. Exits are kept until acknowledged.
"""

from __future__ import annotations

import struct

PROTOCOL = 1
HEADER = struct.Struct("<I")
LIMIT_BYTES = 1 << 20
RUN_DIRECTORY = "/swapbed"  # in every node: init, datastore, archive, logs, run


def encode(items: list[tuple[str, str]], data: bytes | None = None) -> bytes:
    """One message. Values must not contain NUL; data, if any, is the rest of the message after the item `data=`."""
    body = b"".join(f"{key}={value}".encode("utf-8", "surrogateescape") + b"\0" for key, value in items)
    if data is not None:
        body += b"data=" + data
    return HEADER.pack(len(body)) + body


def decode(body: bytes) -> tuple[dict[str, list[str]], bytes | None]:
    """The items by key, in order, and the raw data. Raises ValueError on anything malformed."""
    items: dict[str, list[str]] = {}
    at = 0
    while at < len(body):
        if body.startswith(b"data=", at):
            return items, body[at + 5:]
        end = body.index(b"\0", at)
        key, sign, value = body[at:end].partition(b"=")
        if not sign:
            raise ValueError(f"item without '=': {body[at:end][:40]!r}")
        items.setdefault(key.decode(), []).append(value.decode("utf-8", "surrogateescape"))
        at = end + 1
    return items, None
