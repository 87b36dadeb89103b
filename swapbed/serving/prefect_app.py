"""The local server's application: Prefect's own, on an SQLite database whose writers queue.

Prefect begins most of its transactions as readers. One that then writes, while another has written since it began, is refused at once
(SQLITE_BUSY_SNAPSHOT, which no timeout covers: https://www.sqlite.org/rescode.html#busy_snapshot); the server answers 503, and its client
waits two seconds. Begun as writers they wait milliseconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prefect.server.api import server
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class QueuedSqlite(AioSqliteConfiguration):
    """Transactions of requests that may write begin with the write lock."""

    @asynccontextmanager
    async def begin_transaction(self, session: AsyncSession, with_for_update: bool = False) -> AsyncIterator[AsyncSessionTransaction]:
        async with super().begin_transaction(session, with_for_update=True) as transaction:
            yield transaction


def create_app() -> FastAPI:
    """For `uvicorn --factory`."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if str(url).startswith("sqlite"):
        set_database_config(QueuedSqlite(connection_url=str(url)))
    return server.create_app()
