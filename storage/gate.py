"""The gate: where hosts reach the transfer service, over HTTP on loopback (of this machine, or forwarded to a host by SSH).

For a store in a local directory it is also the data path: it honours permissions of its own, signed as S3's are, so that the same
tokens are enforced by the same means. A pack is taken in once, whole, under the hash it has, or not at all; nobody can write over it.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import ValidationError
from sqlalchemy import Engine

from models.errors import Conflict, Denied, InvalidInput, NotFound, SwapbedError
from models.protocol.transfer import TRANSFER_OPERATIONS
from storage.chunking import name_of
from storage.local_objects import LocalObjects
from storage.objects import ObjectStore, Permission, checked
from storage.pack import LIMIT_BYTES
from storage.tokens import sign
from storage.transfer_service import TransferService

LOOPBACK = "127.0.0.1"
CALL_LIMIT_BYTES = 64 << 20
IDLE_S = 120
RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class Gate:
    """A running gate; use as a context manager. url: what hosts are given with their token."""

    def __init__(self, on: Engine, objects: ObjectStore, key: bytes):
        self._server = _Server((LOOPBACK, 0), _Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        self._server.key, self._server.objects = key, objects
        presigner = objects if not isinstance(objects, LocalObjects) else LocalPresigner(key)
        self._server.service = TransferService(on, objects, presigner, key)  # type: ignore[arg-type]  # S3Objects is both
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="swapbed-gate", daemon=True)
        self._thread.start()

    @property
    def service(self) -> TransferService:
        return self._server.service

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalPresigner:
    """`Presigner` for a local directory behind a gate. URLs are paths at the gate, however a host reaches it."""

    overwrites = False

    def __init__(self, key: bytes):
        self._key = key

    def permit_put(self, key: str, size_bytes: int, lifetime_s: int) -> Permission:
        return Permission(self._signed("PUT", key, str(size_bytes), lifetime_s), {"Content-Length": str(size_bytes)})

    def permit_get(self, key: str, start: int, end: int, lifetime_s: int) -> Permission:
        span = f"bytes={start}-{end - 1}"
        return Permission(self._signed("GET", key, span, lifetime_s), {"Range": span})

    def _signed(self, method: str, key: str, limit: str, lifetime_s: int) -> str:
        expires = str(int(time.time()) + lifetime_s)
        return f"/objects/{quote(checked(key))}?expires={expires}&signature={_signature(self._key, method, key, limit, expires)}"


def _signature(secret: bytes, method: str, key: str, limit: str, expires: str) -> str:
    return sign(secret, b"object", method.encode(), key.encode(), limit.encode(), expires.encode()).hex()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    key: bytes
    objects: ObjectStore
    service: TransferService


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S
    server: _Server

    def do_POST(self) -> None:
        self._answered(self._call)

    def do_PUT(self) -> None:
        self._answered(self._put)

    def do_GET(self) -> None:
        self._answered(self._get)

    def _call(self) -> tuple[int, bytes]:
        name = self.path.removeprefix("/transfer/")
        if name not in TRANSFER_OPERATIONS:
            raise InvalidInput(f"unknown operation '{name[:40]}'")
        body = self._body(CALL_LIMIT_BYTES)
        try:
            arguments = TRANSFER_OPERATIONS[name].takes.model_validate_json(body)
        except ValidationError as error:
            raise InvalidInput(f"malformed call of {name}: {error.errors()[0]['msg']} at {error.errors()[0]['loc']}") from error
        return 200, self.server.service.handle(name, arguments).model_dump_json().encode()

    def _put(self) -> tuple[int, bytes]:
        key = self._permitted(self.headers.get("Content-Length", ""))
        data = self._body(LIMIT_BYTES)
        if name_of(data).hex() != key.rpartition("/")[2]:
            raise InvalidInput("the bytes do not have the hash that is their name", where=key)
        try:
            self.server.objects.size(key)
        except NotFound:
            self.server.objects.put(key, data)
            return 200, b""
        raise Conflict("this object is there already", where=key)

    def _get(self) -> tuple[int, bytes]:
        span = self.headers.get("Range", "")
        key = self._permitted(span)
        match = RANGE.fullmatch(span)
        if not match:
            raise InvalidInput("not a range", where=key)
        return 206, self.server.objects.get(key, int(match[1]), int(match[2]) + 1)

    def _permitted(self, limit: str) -> str:
        """The key, if this very request was permitted and its time is not over."""
        url = urlsplit(self.path)
        key = url.path.removeprefix("/objects/")
        query = parse_qs(url.query)
        expires, signature = query.get("expires", [""])[0], query.get("signature", [""])[0]
        if not hmac.compare_digest(signature.encode(), _signature(self.server.key, self.command, key, limit, expires).encode()):
            raise Denied("this request was not permitted as it stands", where=key[:200])
        if int(expires) < time.time():
            raise Denied("the permission for this request is over", where=key[:200])
        return key

    def _body(self, limit: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > limit:
            self.close_connection = True
            raise InvalidInput(f"a request of '{length[:20]}' bytes (at most {limit})")
        data = self.rfile.read(int(length))
        if len(data) != int(length):
            self.close_connection = True
            raise InvalidInput("the request broke off")
        return data

    def _answered(self, handle: Any) -> None:
        """Send what it returns, or the error it raises. An unforeseen one is not told to the host, but ends in the server's log."""
        try:
            status, body = handle()
        except SwapbedError as error:
            status, body = error.http_status, json.dumps(error.as_json()).encode()
            self.close_connection = True  # the request may not have been read to its end
        self.send_response_only(status)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: their URLs are permissions."""
