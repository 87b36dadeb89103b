"""Rows that most of these tests need."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from models.database import writing
from models.instances import define_instance
from models.spec import Node, Parameter, Spec
from models.tables import Instance
from models.templates import add_template, project_named


def define(session: Session, name: str = "x-1", parameters: dict[str, str] | None = None) -> Instance:
    project = project_named(session, "default")
    template = add_template(session, project, name="x", language="yaml", source="nodes: {a: }", source_name="x.yml", created_by="root")
    spec = Spec(nodes=(Node(name="a"),), parameters=tuple(Parameter(name=key, value=value) for key, value in (parameters or {}).items()))
    return define_instance(session, project, template, spec, name=name, created_by="root")


@pytest.fixture
def define_one() -> Callable[..., Instance]:
    """define_one(session, name="x-1", parameters=None)"""
    return define


@pytest.fixture
def instance(database: Engine) -> Instance:
    """Defined, of a template with one node."""
    with writing(database) as session:
        return define(session)
