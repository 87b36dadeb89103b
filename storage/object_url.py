"""From the URL in the settings to an object store."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from models.errors import InvalidInput
from models.settings import Settings
from storage.local_objects import LocalObjects
from storage.objects import ObjectStore


def open_objects(settings: Settings) -> ObjectStore:
    """The store that `store_url` names: file:///directory or s3://bucket[/prefix]."""
    url = urlsplit(settings.effective_store_url)
    if url.scheme == "file" and url.path.startswith("/") and not url.netloc:
        return LocalObjects(Path(url.path))
    if url.scheme == "s3" and url.netloc:
        from storage.s3_objects import S3Objects  # boto3 takes 0.3 s to import, and a host never needs it

        prefix = url.path.strip("/")
        return S3Objects(url.netloc, f"{prefix}/" if prefix else "", endpoint=settings.store_endpoint, access_key=settings.store_access_key,
                         secret_key=settings.store_secret_key, region=settings.store_region)
    raise InvalidInput("not a store", where=settings.effective_store_url, next="As in file:///var/lib/swapbed/store or s3://bucket/prefix")
