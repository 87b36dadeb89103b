"""Which chunks do the roots reach? A temporary table of (project, hash), on one connection, so that memory does not grow with the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Engine, select

from models.database import READ_ONLY, reading
from models.errors import Corrupt
from models.manifest import ManifestKind
from models.tables import SCHEMA
from storage.catalog import Catalog
from storage.catalog_sql import batches
from storage.channel import Node
from storage.direct import OF_KIND, DirectSource
from storage.nodes import Kind
from storage.objects import ObjectStore

ROOT, PROJECT = SCHEMA.tables["root"], SCHEMA.tables["project"]
NODES_AT_ONCE = 64
ROWS_AT_ONCE = 20_000


class Marks:
    """A temporary table of one connection; gone with it."""

    def __init__(self, connection: Connection, on: Engine, objects: ObjectStore, table: str = "marked"):
        self.connection, self._on, self._objects, self._table = connection, on, objects, table
        binary = "bytea" if connection.dialect.name == "postgresql" else "blob"
        with self._transaction():
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}")
            columns = f"hash {binary}, project_id varchar, PRIMARY KEY (hash, project_id)"
            connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {table} ({columns})")

    def mark_roots(self) -> int:
        """Everything that any root of any project reaches; returns the number of roots. Raises Corrupt, naming the root, for a hole."""
        roots = select(ROOT.c.kind, ROOT.c.name, ROOT.c.manifest, ROOT.c.manifest_kind, PROJECT.c.name.label("project")).join(
            PROJECT, ROOT.c.project_id == PROJECT.c.id).order_by(PROJECT.c.name)
        with reading(self._on) as session:
            rows = session.connection().execute(roots).all()
        source, seen = None, set[bytes]()
        for row in rows:
            if source is None or source.catalog.project != row.project:
                source, seen = DirectSource(Catalog(self._on, row.project), self._objects), set()
            try:
                self.mark(source, [(OF_KIND[ManifestKind(row.manifest_kind)], bytes.fromhex(row.manifest))], seen)
            except Corrupt as error:
                raise Corrupt(error.what, where=f"{row.kind} {row.name} of project {row.project}", next="`swapbed store check` tells more; "
                              "nothing can be collected until this root is repaired, or expunged") from error
        return len(rows)

    def mark(self, source: DirectSource, roots: Iterable[Node], seen: set[bytes]) -> None:
        """These nodes and all below them. seen: nodes of this project that need not be walked again."""
        ahead = [node for node in roots if node[1] not in seen]
        self._add(source.catalog.project_id, {name for _, name in ahead})
        seen.update(name for _, name in ahead)
        while ahead:
            batch, ahead = ahead[-NODES_AT_ONCE:], ahead[:-NODES_AT_ONCE]
            below = set(source.children(batch))
            self._add(source.catalog.project_id, {name for _, name in below})
            fresh = [node for node in below if node[0] != Kind.DATA and node[1] not in seen]
            seen.update(name for _, name in fresh)
            ahead += fresh

    def _add(self, project_id: str, hashes: Iterable[bytes]) -> None:
        with self._transaction():
            for batch in batches(hashes, ROWS_AT_ONCE):
                self._insert(project_id, batch)

    def _insert(self, project_id: str, hashes: Sequence[bytes]) -> None:
        if self.connection.dialect.name == "postgresql":
            self.connection.exec_driver_sql(f"INSERT INTO {self._table} SELECT h, %s FROM unnest(%s::bytea[]) AS h ON CONFLICT DO NOTHING",
                                            (project_id, list(hashes)))
        else:
            self.connection.exec_driver_sql(f"INSERT OR IGNORE INTO {self._table} VALUES (?, ?)", [(name, project_id) for name in hashes])

    def _transaction(self):
        """One that does not lock the database against writers: temporary tables are this connection's own."""
        self.connection.execution_options(**{READ_ONLY: True})
        return self.connection.begin()
