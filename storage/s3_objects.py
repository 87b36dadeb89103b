"""Objects in a bucket of MinIO, AWS S3 or anything compatible, through boto3.

Only what every S3 server really does is relied on: PUT, ranged GET, HEAD, LIST v2, DELETE with Content-MD5, and SigV4 query
signatures over chosen headers. Not relied on: conditional requests, additional checksums, the order of lists, versioning (old
versions are erased where there are any).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import boto3
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError
from urllib3.exceptions import HTTPError

from storage.objects import Bytes, ObjectInfo, Permission, checked
from storage.retry import with_retries
from storage.s3_errors import explained

CONNECTIONS = 32
ATTEMPTS = 5  # by botocore, with exponential back-off and jitter
READ_ATTEMPTS = 3  # of a whole GET: botocore does not try again when a body breaks off
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
DELETE_BATCH = 1000  # the most that one DeleteObjects takes
FAULTS = (BotoCoreError, ClientError, HTTPError, OSError)


class S3Objects:
    """`ObjectStore` and `Presigner` on one bucket, all keys below prefix (empty, or ending in '/')."""

    overwrites = True  # a conditional PUT would prevent it, where the server heeds conditions

    def __init__(self, bucket: str, prefix: str = "", *, endpoint: str | None = None, access_key: str | None = None,
                 secret_key: str | None = None, region: str = "us-east-1", attempts: int = ATTEMPTS):
        self.bucket, self.prefix, self.endpoint = bucket, prefix, endpoint
        self.name = f"s3://{bucket}/{prefix}" + (f" at {endpoint}" if endpoint else "")
        self._client = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path" if endpoint else "auto"},
                          request_checksum_calculation="when_required", response_checksum_validation="when_required",
                          max_pool_connections=CONNECTIONS, connect_timeout=CONNECT_TIMEOUT_S, read_timeout=READ_TIMEOUT_S,
                          retries={"mode": "standard", "total_max_attempts": attempts}))
        self._client.meta.events.register("before-sign.s3.DeleteObjects", _add_content_md5)
        self._versioned: bool | None = None

    def put(self, key: str, data: Bytes) -> None:
        self._call("put_object", key, Body=bytes(data) if isinstance(data, memoryview) else data)

    def get(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        if end is not None and end <= start:
            return b""
        span = f"bytes={start}" if start < 0 else f"bytes={start}-{'' if end is None else end - 1}"
        return with_retries(lambda: self._read(key, {} if (start, end) == (0, None) else {"Range": span}), READ_ATTEMPTS)

    def _read(self, key: str, ranged: dict[str, str]) -> bytes:
        try:
            return self._client.get_object(Bucket=self.bucket, Key=self.prefix + checked(key), **ranged)["Body"].read()
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") == "InvalidRange":
                return b""
            raise explained(error, self.name, key) from error
        except (IncompleteReadError, *FAULTS) as error:
            raise explained(error, self.name, key) from error

    def size(self, key: str) -> int:
        return self._call("head_object", key)["ContentLength"]

    def listing(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
        try:
            for page in pages:
                for item in page.get("Contents", ()):
                    if not item["Key"].endswith("/"):  # some servers list the directories they keep
                        yield ObjectInfo(item["Key"][len(self.prefix):], item["Size"], item["LastModified"].timestamp())
        except FAULTS as error:
            raise explained(error, self.name, prefix) from error

    def delete(self, keys: Iterable[str]) -> None:
        remaining = iter(keys)
        while batch := [self.prefix + checked(key) for key in islice(remaining, DELETE_BATCH)]:
            doomed = [{"Key": key} for key in batch]
            if self._is_versioned():
                doomed = [version for key in batch for version in self._versions(key)]
            for at in range(0, len(doomed), DELETE_BATCH):
                self._delete(doomed[at:at + DELETE_BATCH])

    def old_versions(self) -> Iterator[tuple[str, str, bytes]]:
        """Key, version and content of whatever a versioned bucket still has of objects that were replaced or deleted."""
        if not self._is_versioned():
            return
        try:
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=self.prefix):
                for item in page.get("Versions", ()):
                    if not item["IsLatest"]:
                        answer = self._client.get_object(Bucket=self.bucket, Key=item["Key"], VersionId=item["VersionId"])
                        yield item["Key"][len(self.prefix):], item["VersionId"], answer["Body"].read()
        except FAULTS as error:
            raise explained(error, self.name, "old versions") from error

    def permit_put(self, key: str, size_bytes: int, lifetime_s: int) -> Permission:
        """The server itself refuses a body of another length."""
        return Permission(self._presign("put_object", key, lifetime_s, ContentLength=size_bytes), {"Content-Length": str(size_bytes)})

    def permit_get(self, key: str, start: int, end: int, lifetime_s: int) -> Permission:
        """The server itself refuses another range, and a request without one."""
        span = f"bytes={start}-{end - 1}"
        return Permission(self._presign("get_object", key, lifetime_s, Range=span), {"Range": span})

    def _presign(self, operation: str, key: str, lifetime_s: int, **signed: Any) -> str:
        try:
            return self._client.generate_presigned_url(
                operation, Params={"Bucket": self.bucket, "Key": self.prefix + checked(key), **signed}, ExpiresIn=lifetime_s)
        except FAULTS as error:
            raise explained(error, self.name, key) from error

    def _call(self, operation: str, key: str, **arguments: Any) -> dict[str, Any]:
        try:
            return getattr(self._client, operation)(Bucket=self.bucket, Key=self.prefix + checked(key), **arguments)
        except FAULTS as error:
            raise explained(error, self.name, key) from error

    def _delete(self, doomed: list[dict[str, str]]) -> None:
        if not doomed:
            return
        try:
            answer = self._client.delete_objects(Bucket=self.bucket, Delete={"Objects": doomed, "Quiet": True})
        except FAULTS as error:
            raise explained(error, self.name, doomed[0]["Key"]) from error
        for fault in answer.get("Errors", ()):
            if fault.get("Code") not in ("NoSuchKey", "NoSuchVersion"):
                raise explained(ClientError({"Error": fault}, "DeleteObjects"), self.name, fault.get("Key", ""))

    def _is_versioned(self) -> bool:
        """Suspended counts: versions from before are still there. A server that does not know the question has none."""
        if self._versioned is None:
            try:
                self._versioned = self._client.get_bucket_versioning(Bucket=self.bucket).get("Status") is not None
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "NotImplemented":
                    raise explained(error, self.name, self.bucket) from error
                self._versioned = False
            except FAULTS as error:
                raise explained(error, self.name, self.bucket) from error
        return self._versioned

    def _versions(self, key: str) -> Iterator[dict[str, str]]:
        try:
            for page in self._client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=key):
                for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                    if item["Key"] == key:
                        yield {"Key": key, "VersionId": item["VersionId"]}
        except FAULTS as error:
            raise explained(error, self.name, key) from error


def _add_content_md5(request: AWSRequest, **_: Any) -> None:
    """S3 before 2025 demands it for DeleteObjects, and boto3 now sends a CRC32 instead (MinIO's code answers MissingContentMD5)."""
    body = request.data if isinstance(request.data, bytes) else str(request.data).encode()
    request.headers["Content-MD5"] = base64.b64encode(hashlib.md5(body).digest()).decode()
