"""Making a bucket ready for Swapbed: what S3 alone, or MinIO's administration beside it, can do. Rarely used, by hand.

The everyday path (`storage.s3_objects`) needs none of this: only a bucket, and credentials that may put, get, list and delete in it.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, Literal
from urllib.parse import urlsplit

from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, Filter
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig, NoncurrentVersionExpiration, Rule
from urllib3.exceptions import HTTPError

from models.errors import InvalidInput, StoreProblem, StoreUnavailable
from models.protocol.control import Message
from models.settings import Settings
from storage.s3_answers import of_answer

Access = Literal["read", "write"]
ACTIONS: dict[Access, list[str]] = {
    "read": ["s3:GetObject", "s3:GetObjectVersion"],
    "write": ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"],
}
BUCKET_ACTIONS = ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation", "s3:GetBucketVersioning"]
KEEP_NONCURRENT_DAYS = 1
SECRET_BYTES = 24


class Credentials(Message):
    access_key: str
    secret_key: str


def policy(bucket: str, prefix: str = "", access: Access = "write") -> dict[str, Any]:
    """What credentials need for one bucket, or for one prefix of it, and no more."""
    where = f"arn:aws:s3:::{bucket}"
    return {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": BUCKET_ACTIONS, "Resource": [where]},
        {"Effect": "Allow", "Action": ACTIONS[access], "Resource": [f"{where}/{prefix}*"]}]}


class BucketAdmin:
    """Of the bucket that the settings name, with the credentials that they name, which must be an administrator's."""

    def __init__(self, settings: Settings):
        url, endpoint = urlsplit(settings.effective_store_url), urlsplit(settings.store_endpoint or "https://s3.amazonaws.com")
        if url.scheme != "s3":
            raise InvalidInput("only an S3 store has a bucket", where=settings.effective_store_url)
        self.bucket, self.prefix = url.netloc, url.path.strip("/") + "/" * bool(url.path.strip("/"))
        self.name = f"s3://{self.bucket} at {endpoint.geturl()}"
        keys = settings.store_access_key or "", settings.store_secret_key or ""
        secure = endpoint.scheme == "https"
        self._client = Minio(endpoint.netloc, *keys, secure=secure, region=settings.store_region)
        self._admin = MinioAdmin(endpoint=endpoint.netloc, credentials=StaticProvider(*keys), secure=secure)

    def create(self) -> None:
        """Make the bucket, if it is not there."""
        try:
            if not self._client.bucket_exists(self.bucket):
                self._client.make_bucket(self.bucket)
        except (S3Error, HTTPError) as error:
            raise self._problem(error) from error

    def tidy_by_itself(self) -> bool:
        """Let the server remove old versions and unfinished uploads after a day. False: this server has no lifecycle rules."""
        rule = Rule(status=ENABLED, rule_id="swapbed", rule_filter=Filter(prefix=self.prefix),
                    noncurrent_version_expiration=NoncurrentVersionExpiration(noncurrent_days=KEEP_NONCURRENT_DAYS),
                    abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(days_after_initiation=KEEP_NONCURRENT_DAYS))
        try:
            self._client.set_bucket_lifecycle(self.bucket, LifecycleConfig([rule]))
        except S3Error as error:
            if error.code == "NotImplemented":
                return False
            raise self._problem(error) from error
        except HTTPError as error:
            raise self._problem(error) from error
        return True

    def add_user(self, name: str, access: Access = "write") -> Credentials:
        """A user of a MinIO server who may work in this bucket only; give them to the controller instead of the administrator's."""
        made = Credentials(access_key=name, secret_key=secrets.token_urlsafe(SECRET_BYTES))
        rights = f"swapbed-{self.bucket}-{access}"
        try:
            self._admin.user_add(made.access_key, made.secret_key)
            self._admin.policy_add(rights, policy=policy(self.bucket, self.prefix, access))
            self._admin.policy_set(rights, user=name)
        except MinioAdminException as error:
            raise StoreProblem(f"it does not let us make a user ({_short(error)})", where=self.name,
                               next="Only MinIO has this administration; make a user with these rights yourself: "
                                    + json.dumps(policy(self.bucket, self.prefix, access))) from error
        except HTTPError as error:
            raise self._problem(error) from error
        return made

    def _problem(self, error: Exception) -> Exception:
        if isinstance(error, S3Error):
            response = error.response
            return of_answer(error.code or "", error.message or "", response.status, response.headers.get("date"), self.name, self.bucket)
        return StoreUnavailable(f"no answer ({type(error).__name__})", where=self.name, next="Is the store up, and its endpoint right?")


def _short(error: MinioAdminException) -> str:
    return " ".join(str(error).split())[:120]
