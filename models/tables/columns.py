"""Column types that mean the same on SQLite and PostgreSQL, and the identifiers of rows."""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from sqlmodel import SQLModel

# Constraints need stable names, or migrations in batch mode (SQLite) could not address them.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(column_0_N_label)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s", "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s", "pk": "pk_%(table_name)s"}

ID_RANDOM_BYTES = 7  # 56 bits: the first collision is expected at some 2^28 rows, and a primary key refuses it
Json = JSON().with_variant(JSONB(), "postgresql")
Counter = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only where the type is INTEGER


def new_id(prefix: str) -> str:
    """An opaque lower-case identifier, as `i-4f6k2m7qxa`: ten base32 characters after the prefix."""
    return f"{prefix}-{base64.b32encode(os.urandom(ID_RANDOM_BYTES)).decode().lower()[:10]}"


def now() -> datetime:
    return datetime.now(UTC)


class Instant(TypeDecorator[datetime]):
    """Wall-clock time, aware, UTC. SQLite has no zones: it is given UTC and believed to return it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError(f"time without a zone: {value!r}")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Choice(TypeDecorator[StrEnum]):
    """A StrEnum kept as its text, so that a new state is no change of schema."""

    impl = String(24)
    cache_ok = True

    def __init__(self, choices: type[StrEnum]):
        super().__init__()
        self.choices = choices

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else self.choices(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.choices(value)
