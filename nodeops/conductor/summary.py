"""What a `report` says: how the run stands, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from nodeops.conductor.state import State


def summary(state: State, running: Iterable[str]) -> str:
    """One line a fact: how many programs were started, which run, and everything that failed so far (of many, the first)."""
    run = state.run
    if run is None:
        return "no run goes on"
    started = {name: agent.count for name, agent in sorted(state.agents.items()) if agent.count}
    lines = [f"run {run.number}: {sum(started.values())} programs started"
             + (f" ({', '.join(f'{name} {count}x' if count > 1 else name for name, count in started.items())})" if started else "")]
    lines += [f"{name} still runs{f' ({count}x)' if count > 1 else ''}" for name, count in sorted(Counter(running).items())]
    lines += [f"failed: {one.target} {one.verb}: {one.outcome.error or f'ended with {one.outcome.code}'}" for one in run.failures]
    if run.failed > len(run.failures):
        lines.append(f"failed: {run.failed - len(run.failures)} more")
    return "\n".join(lines if run.failed else [*lines, "nothing failed"])
