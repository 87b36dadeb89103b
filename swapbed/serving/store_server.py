"""The S3 store of an installation without Docker: `swapbed up --store` starts it, and from then on it is the store of this state directory.

A daemon like the local Prefect server: it outlives the command, `down` stops it, `up` and every command that runs a flow start it again.
Its data, address and keys are below STATE_DIR/s3, which nodes do not see.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import func, select

from models.database import reading
from models.errors import Conflict, InvalidInput
from models.settings import OwnStore, Settings, own_store, settings
from models.tables import SCHEMA
from nodeops.identity import ProcessIdentity
from storage.s3_server import answers, is_free, juicefs
from swapbed.serving.daemon import Daemon

BUCKET = "swapbed"
USER = "swapbed"


def chosen() -> OwnStore | None:
    """The one of this state directory, running or not; None if `up --store` was never called, or the settings name another store."""
    return own_store(settings()) if Settings().store_url is None else None


def identity() -> ProcessIdentity | None:
    """Of the living server."""
    return _daemon().identity()


def choose() -> None:
    """Make an S3 server the store of this state directory, and start it. Raises Conflict if another store has something in it already."""
    named = Settings().store_url
    if named is not None:
        raise InvalidInput("the settings name a store already", where=named,
                           next="`up --store` is for when they name none (`store_url`, SWAPBED_STORE_URL)")
    if chosen() is None:
        _require_nothing_stored()
        daemon = _daemon()
        with daemon.alone():
            daemon.stop()
            running = _start(daemon, OwnStore(store_url=f"s3://{BUCKET}", store_endpoint="", store_access_key=USER,
                                              store_secret_key=secrets.token_urlsafe(24)))
            _make_bucket(running)
            _remember(running)
    ensure()


def ensure() -> None:
    """If this state directory has a store of its own, it runs when this returns. Costs two small files when it does."""
    known = chosen()
    if known is None or identity() is not None:
        return
    daemon = _daemon()
    with daemon.alone():
        if daemon.identity() is None and (running := _start(daemon, known)) != known:
            _remember(running)


def stop() -> bool:
    """Whether there was anything to stop. What is stored stays."""
    daemon = _daemon()
    if not daemon.directory.is_dir():
        return False
    with daemon.alone():
        return daemon.stop()


def _start(daemon: Daemon, known: OwnStore) -> OwnStore:
    """On the port it had before, if that is free: hosts may have permissions for it. Returns where it is."""
    port = urlsplit(known.store_endpoint).port
    command = juicefs(_directory() / "data", known.store_access_key, known.store_secret_key, port if port and is_free(port) else None)
    daemon.spawn(command.words, command.environment)
    daemon.await_ready(lambda: daemon.identity() is not None and answers(command.endpoint))
    return known.model_copy(update={"store_endpoint": command.endpoint})


def _make_bucket(running: OwnStore) -> None:
    from storage.bucket_admin import BucketAdmin  # minio takes a third of a second to import

    BucketAdmin(settings().model_copy(update=running.model_dump())).create()


def _remember(known: OwnStore) -> None:
    directory = _directory()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = directory / "settings.json.new"
    new.touch(mode=0o600)
    new.write_text(known.model_dump_json())
    new.replace(Settings().own_store_file)
    settings.cache_clear()


def _require_nothing_stored() -> None:
    with reading() as session:
        packs = session.connection().execute(select(func.count()).select_from(SCHEMA.tables["pack"])).scalar_one()
    if packs:
        raise Conflict(f"there are {packs} packs in the present store, which another would not have", where=settings().effective_store_url,
                       next="Choose the store first; another state directory (SWAPBED_STATE_DIR) begins anew")


def _directory() -> Path:
    return settings().state_dir / "s3"


def _daemon() -> Daemon:
    return Daemon(_directory(), "store")
