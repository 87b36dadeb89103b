"""What differs between two runs, by their records: parameters, outcome, reported values, what happened, files."""

from __future__ import annotations

import json
from collections import Counter

from models.manifest import Difference
from models.protocol.control import Message
from models.recorded import OWN_FILES, Agents, RecordedEvent
from models.tables import Record
from swapbed.present import html
from swapbed.present.file_names import printable
from tasks.record_trees import recorded, tree_of

COMPARED = ("experiment", "outcome", "reason", "environment_of_run", "seed", "inputs", "placement")
MEASURED = ("links.json", "surroundings.json")  # numbers of each run's own; surroundings are compared by their fields


class Changed(Message):
    """None: not there."""

    name: str
    before: str | None
    after: str | None


class RecordDifference(Message):
    """facts: parameters, outcome, template, surroundings. results: values that agents reported. events: kinds of things that happened
    more or less often. files: what runs left, without those that describe the run itself.
    """

    facts: tuple[Changed, ...] = ()
    results: tuple[Changed, ...] = ()
    events: tuple[Changed, ...] = ()
    files: tuple[Difference, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the two runs were told the same, and the same happened; values and files of real programs may differ all the same."""
        return not self.facts and not self.events

    def _repr_html_(self) -> str:
        parts = [html.heading(title) + html.table(("what", "first", "second"), [(one.name, one.before, one.after) for one in changes])
                 for title, changes in (("Told and found", self.facts), ("Reported", self.results), ("Happened", self.events)) if changes]
        if self.files:
            parts.append(html.heading("Files") + html.table(("file", "change", "what", "first", "second"), [
                (one.path, one.change, ", ".join(one.what), one.size_before, one.size_after) for one in self.files]))
        return "".join(parts) or html.heading("both were told the same, and the same happened in them")


def difference(before: Record, after: Record) -> RecordDifference:
    (store, first), (other_store, second) = tree_of(before), tree_of(after)
    files = () if first == second else store.diff_trees(first, second)
    results = [_results(one.read_file(root, "agents.json")) for one, root in ((store, first), (other_store, second))]
    events = [_happened(one.read_file(root, "events.jsonl")) for one, root in ((store, first), (other_store, second))]
    return RecordDifference(facts=_changes(_facts(before), _facts(after)), results=_changes(*results), events=_changes(*events),
                            files=tuple(one.model_copy(update={"path": printable(one.path)}) for one in files
                                        if one.path not in (*OWN_FILES, *MEASURED)))


def _changes(before: dict[str, str], after: dict[str, str]) -> tuple[Changed, ...]:
    return tuple(Changed(name=name, before=before.get(name), after=after.get(name)) for name in dict.fromkeys([*before, *after])
                 if before.get(name) != after.get(name))


def _facts(record: Record) -> dict[str, str]:
    said = recorded(record)
    store, root = tree_of(record)
    facts = {name: str(value) for name, value in said.model_dump(include=set(COMPARED)).items() if value not in (None, (), {})}
    facts |= {f"parameter {name}": value for name, value in said.parameters.items()}
    template = json.loads(store.read_file(root, "template.json"))
    facts["template"] = f"{template['name']} {template['digest'][:12]}"
    paths = {file.path for file in store.list_tree(root)}
    if "surroundings.json" in paths:
        around = json.loads(store.read_file(root, "surroundings.json"))
        facts |= {name: str(around[name]) for name in ("kernel", "cpu", "cpus", "system", "packages_digest", "swapbed")}
    return facts


def _results(agents: bytes) -> dict[str, str]:
    return Agents.model_validate_json(agents).results()


def _happened(lines: bytes) -> dict[str, str]:
    """How often each kind of thing happened to each target, and how it ended."""
    count: Counter[str] = Counter()
    for line in lines.splitlines():
        event = RecordedEvent.model_validate_json(line)
        ending = "" if event.outcome is None or event.outcome.ok else f" failed ({event.outcome.code})"
        count[" ".join(filter(None, (event.kind, event.target, event.verb))) + ending] += 1
    return {what: f"{times} times" for what, times in count.items()}
