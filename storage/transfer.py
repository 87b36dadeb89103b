"""A host's end of a transfer: `ChunkSink` and `ChunkSource` with nothing but a token and the gate's URL. No credentials, no database.

    with HostTransfer.of(access) as transfer:
        stored = store_tree(transfer, directory)        # or store_image, restore_tree, restore_image
"""

from __future__ import annotations

import base64
import contextlib
import http.client
from collections.abc import Collection, Sequence
from typing import TypeVar

import urllib3
from pydantic import BaseModel

from models.errors import StoreProblem, StoreUnavailable, SwapbedError
from models.manifest import ManifestRef
from models.protocol.control import Nothing
from models.protocol.transfer import (
    Ask,
    Asked,
    Begin,
    Begun,
    Claim,
    Commit,
    End,
    Open,
    Opened,
    PackOffer,
    Parent,
    PermitPut,
    Permitted,
    StoreAccess,
)
from storage.channel import Answer, Node, Run
from storage.http_answers import of_http_answer
from storage.nodes import Kind
from storage.pack import INDEX_RECORD, Located, Pack
from storage.retry import with_retries

Reply = TypeVar("Reply", bound=BaseModel)
CONNECTIONS = 16
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 60.0
FAULTS = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError)


class HostTransfer:
    """One transfer, begun at construction. Safe for threads. Raises Denied for a token that does not hold."""

    def __init__(self, gate_url: str, token: str):
        self._gate = gate_url.rstrip("/")
        self._http = urllib3.PoolManager(maxsize=CONNECTIONS, block=True, retries=False,
                                         timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S))
        begun = self._call("begin", Begin(token=token), Begun, attempts=1)  # a second time, the token would be refused
        self.project, self.manifests = begun.project, begun.manifests
        self._own = {"transfer": begun.transfer, "secret": begun.secret}
        self._operation = begun.operation
        self._permits: dict[bytes, str] = {}
        self._committed = False

    @staticmethod
    def of(access: StoreAccess) -> HostTransfer:
        return HostTransfer(access.gate, access.token)

    @property
    def transfer_id(self) -> str:
        """To be named in `Store.pin(…, ends=…)`."""
        return self._own["transfer"]

    def __enter__(self) -> HostTransfer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it; a storing that has committed stays open until its manifest is pinned."""
        if self._operation == "fetch" or not self._committed:
            with contextlib.suppress(SwapbedError):  # it expires by itself; nothing of ours hangs on it
                self._call("end", End(**self._own), Nothing, attempts=1)
        self._http.clear()

    def ask(self, hashes: Sequence[bytes], final: bool = False) -> Answer:
        asked = self._call("ask", Ask(**self._own, hashes=_joined(hashes), final=final), Asked)
        return Answer({name for name, answer in zip(hashes, asked.answers, strict=True) if answer == "u"},
                      {name for name, answer in zip(hashes, asked.answers, strict=True) if answer == "e"})

    def send(self, pack: Pack) -> None:
        name = pack.name.hex()
        with_retries(lambda: self._put(pack, name))
        self._call("claim", Claim(**self._own, name=name), Nothing)

    def commit(self, manifest: ManifestRef) -> None:
        self._call("commit", Commit(**self._own, manifest=manifest), Nothing)
        self._committed = True

    def open(self, parents: Sequence[Node], only: Collection[bytes] | None = None, avoid: Collection[str] = ()) -> list[Run]:
        known = tuple(Parent(kind=kind, hash=name.hex(), permit=self._permits.get(name, "")) for kind, name in parents)
        wanted = None if only is None else _joined(sorted(only))
        opened = self._call("open", Open(**self._own, parents=known, only=wanted, avoid=tuple(sorted(avoid))), Opened)
        self._permits.update((bytes.fromhex(name), permit) for name, permit in opened.permits.items())
        return [Run(run.pack, run.start, run.end, _located(run.chunks), run.url, tuple(run.headers.items())) for run in opened.runs]

    def fetch(self, run: Run) -> bytes:
        return with_retries(lambda: self._get(run))

    def _put(self, pack: Pack, name: str) -> None:
        """Each attempt has a permission of its own: the last one may have expired."""
        offer = PackOffer(name=name, size_bytes=len(pack.data))
        permitted = self._call("permit-put", PermitPut(**self._own, pack=offer), Permitted)
        try:
            answer = self._http.request("PUT", self._at(permitted.url), body=pack.data, headers=permitted.headers)
        except FAULTS as error:
            raise _unavailable(error, f"pack {name}") from error
        if answer.status not in (200, 201, 204, 409):  # 409: an attempt whose answer was lost did put it
            raise of_http_answer(answer, f"pack {name}")

    def _get(self, run: Run) -> bytes:
        try:
            answer = self._http.request("GET", self._at(run.url), headers=dict(run.headers))
        except FAULTS as error:
            raise _unavailable(error, f"pack {run.pack}") from error
        if answer.status == 206 and len(answer.data) == run.end - run.start:
            return answer.data
        if answer.status == 206:
            raise StoreUnavailable(f"it gave {len(answer.data)} bytes instead of {run.end - run.start}", where=f"pack {run.pack}")
        raise of_http_answer(answer, f"pack {run.pack}")

    def _at(self, url: str) -> str:
        """A permission of the gate itself is a path there."""
        return self._gate + url if url.startswith("/") else url

    def _call(self, operation: str, arguments: BaseModel, gives: type[Reply], attempts: int = 6) -> Reply:
        body = arguments.model_dump_json().encode()

        def once() -> Reply:
            try:
                answer = self._http.request("POST", f"{self._gate}/transfer/{operation}", body=body)
            except FAULTS as error:
                raise _unavailable(error, f"gate {self._gate}") from error
            if answer.status != 200:
                raise of_http_answer(answer, f"gate {self._gate}")
            return gives.model_validate_json(answer.data)

        return with_retries(once, attempts)


def _unavailable(error: Exception, where: str) -> StoreProblem:
    return StoreUnavailable(f"no answer ({type(error).__name__}: {str(error)[:200]})", where=where)


def _joined(hashes: Sequence[bytes]) -> str:
    return base64.b64encode(b"".join(hashes)).decode()


def _located(chunks: str) -> tuple[Located, ...]:
    return tuple(Located(name, Kind(kind), *place) for name, kind, *place in INDEX_RECORD.iter_unpack(base64.b64decode(chunks)))
