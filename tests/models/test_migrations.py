"""A database is brought up to date by itself, once, whoever comes first; and then it is what the tables say."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from models import migrations
from models.database import connect
from models.errors import StoreProblem
from models.tables import SCHEMA


def test_models_and_migrations_agree(database: Engine) -> None:
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), SCHEMA) == []


def test_newest_is_what_alembic_calls_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.newest()]


def test_many_processes_at_once_on_a_fresh_database(state_dir: Path) -> None:
    code = "from models.database import engine; from models.migrations import present, newest; assert present(engine()) == newest()"
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    assert [(p.communicate(timeout=60)[1], p.returncode) for p in processes] == [(b"", 0)] * 3


def test_a_newer_database_is_refused(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreProblem, match="9999"):
        migrations.upgrade(database)


def test_down_and_up_again(database: Engine) -> None:
    from alembic import command

    config = Config()
    config.set_main_option("script_location", str(migrations.HERE))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        command.upgrade(config, "head")
    with database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), SCHEMA) == []


def test_sqlite_is_configured(state_dir: Path) -> None:
    with connect(f"sqlite:///{state_dir}/x.db").connect() as connection:
        wanted = {"journal_mode": "wal", "foreign_keys": 1, "secure_delete": 1, "synchronous": 1}
        assert {name: connection.execute(text(f"PRAGMA {name}")).scalar() for name in wanted} == wanted
