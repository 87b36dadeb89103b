"""Which host a checkpoint comes back on: the one that is asked for, else the one where it was made, else any that suits it."""

from __future__ import annotations

from prefect import task

from models.checkpoints import checkpoint_by_id
from models.database import reading, writing
from models.errors import HostProblem, NotFound
from models.hosts import known_hosts
from models.instances import instance_by_id
from models.leases import Lease
from models.protocol.checkpoint import Costs, Requirements
from models.protocol.control import Nothing
from models.protocol.host import Suits
from models.tables import Host
from models.templates import load_spec
from tasks.places import forget_placements, place_on
from tasks.provisions import provisioned
from tasks.restoring import as_what
from tasks.sessions import HostReference, session_with
from tasks.work import RETRIES, RETRY_PAUSES_S, worth_retrying


@task(task_run_name="choose a host", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def place_again(instance_id: str, checkpoint_id: str, lease: str, host_id: str | None = None,
                instead_of: str | None = None) -> HostReference:
    """All its nodes have placements there when this returns, and the host has what the checkpoint requires; nothing else was made.

    host_id: this one or none. instead_of: an instance that is about to leave: what it takes counts as free.
    Raises HostProblem, which says of each host why not.
    """
    refused: list[HostProblem] = []
    for host in _candidates(checkpoint_id, host_id):
        try:
            return _taken(instance_id, checkpoint_id, host, lease, instead_of)
        except HostProblem as error:
            refused.append(error)
            with writing() as session:
                Lease.parse(lease).check(session)
                forget_placements(session, instance_id)
                instance_by_id(session, instance_id).home_id = None
    if len(refused) == 1:
        raise refused[0]
    raise HostProblem("no host can bring it back", where=checkpoint_id, next="; ".join(f"{each.where}: {each.what}" for each in refused))


def _candidates(checkpoint_id: str, host_id: str | None) -> list[Host]:
    """Best first."""
    with writing() as session:
        made_on = Costs.model_validate(checkpoint_by_id(session, checkpoint_id).costs).host
        known = [host for host in known_hosts(session) if host_id in (None, host.id)]
    return sorted(known, key=lambda host: host.name != made_on)


def _taken(instance_id: str, checkpoint_id: str, host: Host, lease: str, instead_of: str | None) -> HostReference:
    with writing() as session:
        Lease.parse(lease).check(session)
        spec = load_spec(session, checkpoint_by_id(session, checkpoint_id).spec_id)
        place = place_on(session, instance_by_id(session, instance_id), spec, host.id, instead_of)
    with reading() as session:
        checkpoint = checkpoint_by_id(session, checkpoint_id)
        create = as_what(session, instance_by_id(session, instance_id), checkpoint, lease)
        requirements = Requirements.model_validate(checkpoint.requirements)
    try:
        with provisioned(create, place) as whole, session_with(place) as agent:
            agent.do("suits", Suits(host=host.name, requirements=requirements, create=whole), Nothing)
    except (HostProblem, NotFound) as error:  # what an agent refuses need not say whose it is
        kind = type(error) if isinstance(error, HostProblem) else HostProblem
        raise kind(error.what, where=host.name, next=error.next) from error
    return place
