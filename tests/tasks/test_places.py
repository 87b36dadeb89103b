"""Where nodes are to be is decided from what hosts have left, and written down before anything is made."""

from __future__ import annotations

import socket

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from models.database import reading, writing
from models.errors import HostProblem
from models.instances import define_instance, instance_by_id, placements
from models.leases import acquire
from models.spec import Node, Spec
from models.states import HostState, Subject
from models.tables import Host, Instance
from models.templates import add_template, project_named
from tasks.places import hosts_of, likely_hosts, place_nodes

THREE = Spec(nodes=tuple(Node(name=f"n{number}") for number in range(3)))


def _define(spec: Spec = THREE) -> Instance:
    with writing() as session:
        project = project_named(session, "default")
        template = add_template(session, project, name="x", language="yaml", source="x", source_name="x.yml", created_by="test")
        return define_instance(session, project, template, spec, created_by="test")


def _add(*hosts: Host) -> None:
    with writing() as session:
        session.add_all(hosts)


def _place(instance: Instance) -> set[str]:
    lease = acquire(Subject.INSTANCE, instance.id, holder="test", purpose="place", is_dead=lambda _: True)
    return {host.name for host in place_nodes.fn(instance.id, str(lease))}


def test_without_an_inventory_this_machine_is_the_host(database: Engine) -> None:
    instance = _define()
    assert [host.name for host in likely_hosts({"instance_id": instance.id}, to_be_placed=True)] == [socket.gethostname()]
    assert _place(instance) == _place(instance) == {socket.gethostname()}
    with reading() as session:
        assert [place.node for place in placements(session, instance.id)] == ["n0", "n1", "n2"]
        assert instance_by_id(session, instance.id).home_id == session.exec(select(Host.id)).one()


def test_what_others_have_is_taken_off(database: Engine) -> None:
    _add(Host(name="small", nodes=4), Host(name="tall", nodes=3), Host(name="away", state=HostState.DRAINED))
    assert [_place(_define()) for _ in range(2)] == [{"small"}, {"tall"}]
    with pytest.raises(HostProblem, match="no room for 2 of 3 nodes"):
        _place(_define())


def test_an_instance_that_fits_on_no_single_host_is_refused(database: Engine) -> None:
    _add(Host(name="a", nodes=2), Host(name="b", nodes=2))
    instance = _define()
    with pytest.raises(HostProblem, match="cannot span several yet"):
        _place(instance)
    assert hosts_of(instance.id) == []
