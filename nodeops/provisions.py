"""What a host that is reached over SSH gets from the store, and puts there, by itself: with a token, and without credentials.

    spool/checkpoints/ID    fetched to be brought back; captured to be sent
    spool/runs/RUN/content  what a run left, to be sent
    images/HASH             of virtual machines; they stay for those that come next
    spool/datastores/ID     an instance's, until its own copy is made: nobody would have it forgotten here when it is expunged
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from models.protocol.checkpoint import part_of
from models.protocol.host import Create, FetchCheckpoint, Send, Sent, StoredTree
from models.settings import settings
from nodeops import run_files
from nodeops.checkpoint import spooled
from nodeops.image_room import kept


def send(wanted: Send) -> Sent:
    """What is in the spool is in the store when this returns; whoever pins it ends the transfer."""
    from storage.transfer import HostTransfer  # here and below: an agent of the machine with the store needs none of it
    from storage.trees import store_tree

    directory = spooled.whole(wanted.name) if wanted.kind == "checkpoint" else run_files.content_of(wanted.name)
    with HostTransfer.of(wanted.access) as transfer:
        stored = store_tree(transfer, directory, wanted.policy, account=part_of if wanted.kind == "checkpoint" else None)
        return Sent(stored=stored, transfer=transfer.transfer_id)


def fetch_checkpoint(wanted: FetchCheckpoint) -> None:
    """Into the spool, in place of what has that name there; every chunk is checked against its hash."""
    spooled.forget(wanted.checkpoint)
    try:
        _restore(wanted.stored, spooled.spool_of(wanted.checkpoint).root)
    except BaseException:
        spooled.forget(wanted.checkpoint)
        raise


@contextmanager
def provided(wanted: Create) -> Iterator[Create]:
    """The same with images and datastore that are here, as long as the block."""
    if wanted.from_store is None:
        yield wanted
        return
    datastore = settings().state_dir / "spool" / "datastores" / wanted.instance
    try:
        images = {name: str(kept(stored.tree.hash, partial(_restore, stored))) for name, stored in wanted.from_store.images.items()}
        if wanted.from_store.datastore is not None:
            shutil.rmtree(datastore, ignore_errors=True)
            _restore(wanted.from_store.datastore, datastore)
        yield wanted.model_copy(update={"images": wanted.images | images, "from_store": None,
                                        "datastore": str(datastore) if wanted.from_store.datastore else None})
    finally:
        shutil.rmtree(datastore, ignore_errors=True)


def _restore(stored: StoredTree, directory: Path) -> None:
    from storage.transfer import HostTransfer
    from storage.trees import restore_tree

    directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with HostTransfer.of(stored.access) as transfer:
        restore_tree(transfer, stored.tree, directory)
