"""A run's two ends on its hosts: what it is to find is made ready, what it left is put aside."""

from __future__ import annotations

from sqlmodel import Session

from models.errors import SwapbedError
from models.instances import instance_by_id, placements
from models.leases import Lease
from models.protocol.control import Nothing
from models.protocol.runs import ForgetRun, KeepRun, KeptRun, PrepareRun
from models.tables import Record, Run
from models.templates import load_spec
from tasks.places import hosts_in, hosts_of
from tasks.progress import report
from tasks.sessions import HostReference, session_with


def prepare_on_hosts(run: Run, lease: Lease, *, fresh: bool) -> None:
    """fresh: nodes get the files back that they had after instantiation."""
    for host in hosts_of(run.instance_id):
        if fresh:
            report(f"fresh nodes on {host.name}")
        with session_with(host) as session:
            session.do("prepare_run", PrepareRun(instance=run.instance_id, fence=lease.fence, run=run.id, number=run.number, fresh=fresh),
                       Nothing)


def keep_on_hosts(run: Run, lease: Lease, *, whatever_happens: bool = False) -> list[str]:
    """Put aside what the run left; returns what could not be, with reasons. whatever_happens: a host that refuses is such a reason, too."""
    left_out: list[str] = []
    for host in hosts_of(run.instance_id):
        try:
            with session_with(host) as session:
                kept = session.do("keep_run", KeepRun(instance=run.instance_id, fence=lease.fence, run=run.id, number=run.number), KeptRun)
            left_out += kept.left_out
        except SwapbedError as error:
            if not whatever_happens:
                raise
            left_out.append(f"all of host {host.name}: {error}")
    return left_out


def forget_on_hosts(run_id: str, hosts: list[HostReference]) -> None:
    """The record is in the store."""
    for host in hosts:
        with session_with(host) as session:
            session.do("forget_run", ForgetRun(run=run_id), Nothing)


def define_record(session: Session, run: Run, left_out: list[str]) -> Record:
    """The row of the record that is to be committed. What would be gone with the instance is noted in it: where the nodes were."""
    instance = instance_by_id(session, run.instance_id)
    hosts = {host.id: host.name for host in hosts_in(session, instance.id)}
    names = {place.node: hosts[place.host_id] for place in placements(session, instance.id)}
    record = Record(project_id=instance.project_id, run_id=run.id, rules=load_spec(session, run.spec_id).rules.model_dump(mode="json"),
                    created_by=run.created_by, summary={"placement": names, "hosts": list(hosts), "left_out": left_out})
    session.add(record)
    session.flush()
    return record
