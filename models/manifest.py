"""What the store's data path and metadata path say to each other: references to manifests, policies, tokens and the transfer's messages.

The manifests themselves are bytes, named by their hash and stored as chunks; `storage.nodes` is their format.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from models.protocol.control import Message

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="BLAKE3, hex")]
Base64 = Annotated[str, Field(description="base64; of several hashes: their 32 bytes each, joined")]


class ManifestKind(StrEnum):
    """flat: an image. tree: a directory. collection: other manifests by name, with a note."""

    FLAT, TREE, COLLECTION = "flat", "tree", "collection"


class ManifestRef(Message):
    """A stored manifest. size_bytes: logical size of all its content; files: regular files (of a flat one: 1)."""

    kind: ManifestKind
    hash: Hash
    size_bytes: int = Field(ge=0)
    files: int = Field(default=1, ge=0)


class Counts(Message):
    """What storing cost. read: bytes looked at (holes skipped); new: bytes of chunks the store did not have; sent: those as compressed."""

    read_bytes: int = 0
    new_bytes: int = 0
    sent_bytes: int = 0
    chunks: int = 0
    new_chunks: int = 0
    packs: int = 0


class Stored(Message):
    """The outcome of storing something. vanished: files that were deleted, or replaced by something else, while being read.

    accounts: the same counts for parts of it; sent is then without what a pack adds, and "" has what holds it all together.
    """

    manifest: ManifestRef
    counts: Counts = Counts()
    vanished: tuple[str, ...] = ()
    accounts: dict[str, Counts] = {}

    @property
    def hash(self) -> str:
        return self.manifest.hash


class TreePolicy(Message):
    """What of a directory belongs to its manifest, and so to its hash.

    Without times, owners, xattrs and links, two checkouts of the same files have the same hash; `portable` is that.
    """

    times: bool = True
    owners: bool = True
    xattrs: bool = True
    links: bool = Field(default=True, description="which names are hard links of one file")
    special: Literal["keep", "refuse"] = Field(default="keep", description="sockets, fifos, devices (whiteouts too)")
    exclude: tuple[str, ...] = Field(default=(), description="paths relative to the directory, left out with all below them")
    images: tuple[str, ...] = Field(default=(), description="globs of file names that are cut as images: pages-*.img")

    @staticmethod
    def portable(*exclude: str) -> TreePolicy:
        """For what people write and copy about: names, contents, executable bits, symbolic links."""
        return TreePolicy(times=False, owners=False, xattrs=False, links=False, special="refuse", exclude=exclude)


class FileKind(StrEnum):
    FILE, DIRECTORY, SYMLINK, FIFO, SOCKET, CHARACTER, BLOCK, WHITEOUT = (
        "file", "directory", "symlink", "fifo", "socket", "character", "block", "whiteout")


class ListedFile(Message):
    """One line of a tree's listing. path: relative, `/`-joined; bytes that are not UTF-8 as surrogate escapes (PEP 383)."""

    path: str
    kind: FileKind
    mode: int
    owner: int
    group: int
    modified_ns: int
    size_bytes: int
    target: str = Field(default="", description="of a symbolic link")
    content: str = Field(default="", description="same content, same text: a short name of it")


class Difference(Message):
    """One path in which two trees differ. what: content, mode, owner, times, xattrs, target, kind."""

    path: str
    change: Literal["added", "removed", "changed"]
    what: tuple[str, ...] = ()
    size_before: int = 0
    size_after: int = 0
