"""YAML: our own short form (`nodes`, `links`, … at the top) and containerlab's shape (`topology: {nodes, links, …}`).

docs/languages.md is its reference. Limits: 1 MiB, 200,000 values with aliases and repetitions written out, 40 levels deep,
20,000 nodes (`yaml_tree`, `yaml_expand`, `draft`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from languages.containerlab import IGNORED_ROOT, Translator
from languages.draft import Draft
from languages.evaluate import Evaluation, Source
from languages.external_words import read_externals
from languages.links import FAMILIES
from languages.nearest import nearest
from languages.parameters import bind
from languages.part_words import NODE, read_collect, read_rules
from languages.words import Word, choice, text, texts_by_name
from languages.yaml_activity import Activity
from languages.yaml_expand import declared, expand
from languages.yaml_network import Network, families_of
from languages.yaml_reading import Reading
from languages.yaml_tree import Scalar, Table, describe, parse
from models.errors import InvalidInput
from models.spec import Parameter

_OF_SPEC = {
    "name": Word("name", text), "description": Word("description", text), "environment": Word("environment", texts_by_name),
    "on_start": Word("on_start", text), "on_stop": Word("on_stop", text), "sync_server": Word("sync_server", text),
    "environment_of_runs": Word("environment_of_runs", choice("inherit", "fresh")),
    "collect": Word("collect", read_collect), "rules": Word("rules", read_rules),
}
_NETWORK_KEYS = ("nodes", "links", "lans", "defaults")
_ACTIVITY_KEYS = ("agents", "groups", "sequences", "timelines", "timeline")
_FILE_KEYS = ("parameters", "datastore", "externals", "addressing", "routing", "topology")


def parameters_of(source: Source) -> tuple[Parameter, ...]:
    return declared(source.name, _root(source))[0]


def evaluate(source: Source, values: Mapping[str, str]) -> Evaluation:
    root = _root(source)
    parameters, lines = declared(source.name, root)
    bound = bind(source.name, parameters, values, lines)
    root = expand(source.name, root, {p.name: p.value for p in bound})
    reading, draft = Reading(source.name), Draft(source.name)
    draft.parameters = bound
    topology = _topology(reading, root)
    _check_keys(reading, draft, root, topology)
    _own_fields(reading, draft, root, source)
    translator = Translator(reading, draft, lab=str(draft.fields["name"]), clab_shape=topology is not root)
    network = Network(reading, draft, translator, topology, _routing(reading, root), families_of(reading, root, FAMILIES), source.directory)
    network.nodes()
    network.links()
    for parent in [root, topology] if topology is not root else [root]:
        network.lans(parent)
    Activity(reading, draft, root).read()
    datastore = _datastore(reading, draft, root, source, translator)
    externals = reading.read(root.items["externals"], read_externals, root, "externals") if "externals" in root.items else ()
    return Evaluation(draft.finish(), tuple(draft.warnings), datastore, externals)


def _root(source: Source) -> Table:
    root = parse(source.name, source.text)
    if not isinstance(root, Table):
        raise InvalidInput(f"expected a mapping with nodes and links, not {describe(root)}", where=f"{source.name}:{root.line}")
    return root


def _topology(reading: Reading, root: Table) -> Table:
    """The table that holds nodes and links."""
    if "topology" not in root.items:
        return root
    for key in ("nodes", "links", "defaults"):
        if key in root.items:
            raise InvalidInput(f"'{key}' stands beside topology: expected it inside", where=reading.where(root, key))
    return reading.table(root, "topology", "a mapping with nodes and links")


def _check_keys(reading: Reading, draft: Draft, root: Table, topology: Table) -> None:
    known = (*_OF_SPEC, *_ACTIVITY_KEYS, *_FILE_KEYS, *_NETWORK_KEYS)
    for key in root.items:
        if key in IGNORED_ROOT:
            draft.warn(f"'{key}' has no effect here: {IGNORED_ROOT[key]}", reading.where(root, key))
        elif key not in known:
            raise InvalidInput(f"unknown key '{key}'", where=reading.where(root, key), next=nearest(key, known))
    inside = (*_NETWORK_KEYS, "kinds", "groups")
    for key in topology.items if topology is not root else ():
        if key not in inside:
            hint = f"'{key}' belongs at the top of the file, beside topology." if key in known else nearest(key, inside)
            raise InvalidInput(f"unknown key '{key}' in topology", where=reading.where(topology, key), next=hint)


def _own_fields(reading: Reading, draft: Draft, root: Table, source: Source) -> None:
    for key, word in _OF_SPEC.items():
        part = root.items.get(key)
        if part is not None and not (isinstance(part, Scalar) and part.text is None):
            draft.set(word.field, reading.read(part, word.read, root, key), reading.where(root, key))
    draft.fields.setdefault("name", Path(source.name).name.split(".")[0] or "experiment")


def _routing(reading: Reading, root: Table) -> str | None:
    return reading.read(root.items["routing"], NODE["routing"].read, root, "routing") if "routing" in root.items else None


def _datastore(reading: Reading, draft: Draft, root: Table, source: Source, translator: Translator) -> Path | None:
    """The directory the file names, relative to itself; that of the file if binds name files in it."""
    base = source.directory or Path()
    if "datastore" in root.items:
        written = reading.read(root.items["datastore"], text, root, "datastore")
        directory = base / written
        if source.directory is not None and not directory.is_dir():
            raise InvalidInput(f"the datastore '{written}' is not a directory", where=reading.where(root, "datastore"))
        return directory
    if translator.uses_directory:
        draft.warn("binds of files beside this one make its whole directory the datastore; `datastore: DIRECTORY` names another")
        return base
    return None
