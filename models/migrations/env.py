"""Alembic's entry point: always on a connection that `models.migrations` (or the developer's command) opened."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel.sql.sqltypes import AutoString

from models.database import connect
from models.settings import settings
from models.tables import SCHEMA
from models.tables.columns import Choice, Instant

PLAIN: dict[type, str] = {Choice: "sa.String(24)", Instant: "sa.DateTime(timezone=True)", AutoString: "sa.String()"}


def plainly(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Revisions name SQLAlchemy's own types only: one written today must not change when our column types do."""
    if kind == "type" and type(item) in PLAIN:
        return PLAIN[type(item)]
    if kind == "type" and any(isinstance(variant, JSONB) for variant in getattr(item, "_variant_mapping", {}).values()):
        autogen.imports.add("from sqlalchemy.dialects.postgresql import JSONB")
        return "sa.JSON().with_variant(JSONB(), 'postgresql')"
    return False


def migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=SCHEMA, render_as_batch=True, compare_type=True, render_item=plainly)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with connect(settings().effective_database_url).begin() as opened:
        migrate(opened)
