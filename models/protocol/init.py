"""What is said between a node's init and whoever drives it (conductor, `exec`), over a unix or virtio-serial stream.

Init is a small static C program (`nodeops/init`), so the wire form is easier than JSON: a message is a 4-byte little-endian
length and that many bytes of `key=value` items, each ended by a NUL; keys may repeat; bytes of a `data` item go last, raw.
`encode`/`decode` are its whole definition in Python. What goes to init has `op=` and a `request=` number of the sender's
choice, and is answered in order by a message with `answer=` that number, and `error=` if refused; what init says of its own accord
has `event=`, and is one of the models below.

    hello                                   → Hello
    begin                                   from now on somebody else is on this port; programs of its predecessor's sessions live on
    attach                                  → Hello; the asker is the driver (conductor) from now on, alone; what it missed follows
    spawn invocation= command=|argv=… env=… directory= user= stdin=pipe stdout=pipe|PATH stderr=pipe|PATH pty=1 rows= columns=
          scratch= (a directory that is made, for everybody) unless_empty=DIRECTORY… (if all are: → skipped=1, and nothing is started)
    signal invocation= signal=NUMBER        → processes=; to the program and all its descendants; 9 is repeated until none is left
    input invocation= eof= data=            at most INPUT_WINDOW_BYTES that were not yet Consumed
    resize invocation= rows= columns=
    adopt invocation=                       → accepted= waiting= (bytes of input); an `exec` session parted from its client by `quiesce`
    acknowledge invocation=                 the driver has noted its Exit
    answer petition= error= text=           to a Petition
    stat|list|read|write|mkdir|symlink|rename|unlink|attributes|clear path= …     see nodeops/init/files.c
    quiesce                                 all connections from outside end, so that the node can be dumped
    reboot                                  all processes die, init starts anew; there is no answer
    halt                                    all processes die, init with them; there is no answer
    petition what= …                        from inside the node, too; answered when the driver answers

Commands of the driver may carry `sequence`, increasing numbers that init remembers: one it has seen is answered again, not done
again; likewise `spawn` of an invocation it knows. The driver's exits are kept until acknowledged, petitions until answered.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from models.protocol.control import Message

PROTOCOL = 1
INPUT_WINDOW_BYTES = 64 << 10
PIECE_BYTES = 512 << 10  # most that one `read` gives
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


class FromInit(Message):
    """Base of what init says; times are readings of the node's CLOCK_MONOTONIC in nanoseconds."""

    event: ClassVar[str]


class Hello(Message):
    """incarnation: another one after each boot of the node, the same after a swap. invocation: the driver's that init still holds."""

    protocol: int
    monotonic_ns: int
    incarnation: int
    last_sequence: int
    invocation: tuple[str, ...] = ()


class Started(FromInit):
    event = "started"
    invocation: str
    pid: int
    start_ns: int


class Exit(FromInit):
    """Of the program itself, with the children it waited for. error: it could not be started (start_ns may be 0)."""

    event = "exit"
    invocation: str
    start_ns: int
    end_ns: int
    code: int | None = None
    signal: int | None = None
    error: str | None = None
    user_us: int = 0
    system_us: int = 0
    max_rss_kib: int = 0


class Gone(FromInit):
    """Nothing is left of an invocation, daemons included; what all its processes used together."""

    event = "gone"
    invocation: str
    at_ns: int
    user_us: int = 0
    system_us: int = 0
    max_rss_kib: int = 0


class Output(FromInit):
    """stream: 1 or 2; a pty has only 1."""

    event = "output"
    invocation: str
    stream: int
    data: bytes = b""


class Consumed(FromInit):
    event = "consumed"
    invocation: str
    bytes: int


class Petition(FromInit):
    """Something a process in the node asks of the conductor; told again after each `attach` until answered."""

    event = "petition"
    petition: int
    at_ns: int
    items: dict[str, tuple[str, ...]] = {}


class Quiesced(FromInit):
    """The connection ends here because the node is about to be dumped; connect again when it is back. stays: it is a VM's port, whose
    end on the host is for the host to close."""

    event = "quiesced"
    stays: bool = False


Event = Started | Exit | Gone | Output | Consumed | Petition | Quiesced
EVENTS: dict[str, type[Event]] = {kind.event: kind for kind in (Started, Exit, Gone, Output, Consumed, Quiesced)}


def read_hello(items: dict[str, list[str]]) -> Hello:
    return Hello(protocol=int(items["protocol"][0]), monotonic_ns=int(items["monotonic_ns"][0]), incarnation=int(items["incarnation"][0]),
                 last_sequence=int(items["last_sequence"][0]), invocation=tuple(items.get("invocation", ())))


def read_event(items: dict[str, list[str]], data: bytes | None) -> Event:
    """A message with `event=` as its model. Raises ValueError for what this version does not know. Bytes that are no UTF-8 are replaced:
    what a node says of its own accord ends up in JSON."""
    items = {key: [_text(value) for value in values] for key, values in items.items()}
    name = items["event"][0]
    if name == "petition":
        rest = {key: tuple(values) for key, values in items.items() if key not in ("event", "petition", "at_ns")}
        return Petition(petition=int(items["petition"][0]), at_ns=int(items["at_ns"][0]), items=rest)
    if name not in EVENTS:
        raise ValueError(f"init says '{name}', which this version does not know")
    fields: dict[str, str | bytes] = {key: values[0] for key, values in items.items() if key != "event"}
    if data is not None:
        fields["data"] = data
    return EVENTS[name].model_validate(fields)


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
