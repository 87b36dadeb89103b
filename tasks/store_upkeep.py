"""What keeps the store in order: each a task that may be killed and run again."""

from __future__ import annotations

from prefect import task
from sqlmodel import select

from models.database import engine, reading
from models.settings import settings
from models.tables import Project
from storage.catalog import Catalog
from storage.collecting import Collected, collect
from storage.object_url import open_objects
from storage.verification import Verified, verify_packs
from tasks.holder import is_dead, own_name
from tasks.progress import report
from tasks.work import RETRIES, RETRY_PAUSES_S, worth_retrying


@task(task_run_name="verify what hosts sent", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def verify_store() -> Verified:
    """Look at every pack that hosts have sent since the last time: from then on others rely on it, too."""
    objects = open_objects(settings())
    with reading() as session:
        projects = [project.name for project in session.exec(select(Project))]
    found = [verify_packs(Catalog(engine(), project), objects) for project in projects]
    return Verified(verified=sum(one.verified for one in found), waiting=sum(one.waiting for one in found),
                    damaged=tuple(damage for one in found for damage in one.damaged))


@task(task_run_name="collect", retries=RETRIES, retry_delay_seconds=RETRY_PAUSES_S, retry_condition_fn=worth_retrying)
def collect_store(dry_run: bool = False, everything: bool = False) -> Collected:
    """One collection of the store's garbage, step by step in the progress of the flow."""
    return collect(engine(), open_objects(settings()), holder=own_name(), dry_run=dry_run, everything=everything, is_dead=is_dead,
                   step=lambda name: report(f"collect: {name}"))
