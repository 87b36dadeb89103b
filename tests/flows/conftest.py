"""Instances to try flows on, and a look into Prefect."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from languages.evaluate import Source, evaluate
from models.database import reading, writing
from models.instances import define_instance, instance_by_id
from models.settings import settings
from models.tables import Instance
from models.templates import commit_source, project_named

PAIR = """
nodes:
  a: {}
  b: {}
links:
  - {name: wire, endpoints: [a, b], delay: 5ms}
"""
Define = Callable[..., Instance]


@pytest.fixture
def define() -> Define:
    """define(source=PAIR, start_run=True, name=None) → the row of a defined instance, in the state directory of the settings."""

    def one(source: str = PAIR, *, start_run: bool = True, name: str | None = None) -> Instance:
        spec = evaluate(Source.of("pair.yml", source.encode())).spec
        with writing() as session:
            project = project_named(session, settings().project)
            template = commit_source(session, project, name="pair", language="yaml", source=source, source_name="pair.yml",
                                     created_by="test")
            return define_instance(session, project, template, spec, name=name, start_run=start_run, created_by="test")

    return one


@pytest.fixture
def look() -> Callable[[str], Instance]:
    """The row as it is now."""

    def one(instance_id: str) -> Instance:
        with reading() as session:
            return instance_by_id(session, instance_id)

    return one


@pytest.fixture
def until() -> Callable[..., None]:
    """until(condition, seconds=20): polls; fails when time is over."""

    def poll(condition: Callable[[], bool], seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "did not happen in time"
            time.sleep(0.05)

    return poll
