"""A record described as a Workflow Run RO-Crate: the template's source is the workflow, the run its action, files and values its results.

Profiles: https://w3id.org/ro/wfrun/process/0.5 and workflow/0.5. The description depends on nothing but the record, its template and the
notes: no random identifier and no time of the export is in it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from rocrate.model.contextentity import ContextEntity
from rocrate.model.data_entity import DataEntity
from rocrate.rocrate import ROCrate

from models.manifest import FileKind
from models.recorded import Agents, Recorded, TemplateOfRun
from models.spec import Parameter
from models.states import Subject
from swapbed.exchange.archive_files import Member
from swapbed.exchange.record_parts import PARTS, Parts

VERSION = "1.1"  # of RO-Crate, which the profiles build on
PROFILES = {"https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate", "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
            "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate"}
TERMS = "https://w3id.org/ro/terms/workflow-run/context"
FORMAL_PARAMETER = "https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"
LANGUAGES = {"yaml": "YAML", "python": "Python", "ns": "ns (Tcl)"}
TYPES = {"integer": "Integer", "float": "Float", "number": "Float", "boolean": "Boolean"}
FORMATS = {".json": "application/json", ".jsonl": "application/jsonl", ".pcapng": "application/x-pcapng", ".csv": "text/csv",
           ".out": "text/plain", ".err": "text/plain", ".yml": "application/yaml", ".yaml": "application/yaml", ".py": "text/x-python"}


def described(parts: Parts, members: list[Member]) -> str:
    """ro-crate-metadata.json, for these files."""
    return _Description(parts, members).text()


class _Description:
    def __init__(self, parts: Parts, members: list[Member]):
        self.parts, self.crate = parts, ROCrate(version=VERSION)
        with parts.store.read_tree(parts.exported.root) as tree:
            read = {name: b"".join(tree.read(name)) for name in ("record.json", "template.json", "agents.json")}
        self.said = Recorded.model_validate_json(read["record.json"])
        self.template = TemplateOfRun.model_validate_json(read["template.json"])
        self.results = Agents.model_validate_json(read["agents.json"]).results()
        self.notes = {key: value for one in parts.notes.subjects if one.kind is Subject.RECORD for key, value in one.notes.items()}
        self.files = [member for member in members if member.kind is FileKind.FILE]

    def text(self) -> str:
        self.crate.metadata.extra_contexts.append(TERMS)
        workflow = self._workflow()
        files = [self._file(member) for member in sorted(self.files, key=lambda one: os.fsencode(one.path))
                 if member.path != f"source/{self.template.source_name}"]
        self._action(workflow, [file for file in files if not file.id.startswith(PARTS) and file.id not in ("template.json", "spec.json")])
        self._root(workflow)
        return json.dumps(self.crate.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False)

    def _root(self, workflow: DataEntity) -> None:
        exported, said = self.parts.exported, self.said
        name = f"Run {said.run} of {said.instance}"
        published = exported.finalized_at or exported.committed_at or exported.created_at
        root = self.crate.root_dataset
        facts = {
            "name": self.notes.get("name", name), "datePublished": published.isoformat(), "identifier": f"blake3:{exported.root}",
            "description": self.notes.get("description", f"{name}, an experiment of template {self.template.name}: {said.outcome}"),
            "license": self.notes.get("license", "none was stated"), "mainEntity": workflow, "version": str(exported.revision),
            "conformsTo": [self._entity(url, "CreativeWork", name=of, version=url.rpartition("/")[2]) for url, of in PROFILES.items()],
            "mentions": self.crate.dereference("#run")}
        for key, value in facts.items():
            root[key] = value
        if said.replay_of is not None:
            root["isBasedOn"] = self._entity("#replayed", "CreativeWork", name="the record that this run replays",
                                             identifier=f"blake3:{said.replay_of}")

    def _workflow(self) -> DataEntity:
        template = self.template
        member = next(one for one in self.files if one.path == f"source/{template.source_name}")
        language = self._entity(f"#{template.language}", "ComputerLanguage", name=LANGUAGES.get(template.language, template.language))
        entity = self._file(member, {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"], "name": template.name,
            "identifier": f"blake3:{template.digest}", "programmingLanguage": language,
            "input": [self._input(parameter) for parameter in template.parameters],
            "output": [self._entity(f"#output-{quote(name)}", "FormalParameter", name=name, additionalType="Text",
                                    conformsTo={"@id": FORMAL_PARAMETER}) for name in sorted(self.results)]})
        if template.datastore is not None:
            entity["softwareRequirements"] = self._entity("#datastore", "CreativeWork", name="the template's files",
                                                          identifier=f"blake3:{template.datastore}")
        return entity

    def _input(self, parameter: Parameter) -> ContextEntity:
        given = {"description": parameter.description, "defaultValue": parameter.default}
        return self._entity(f"#parameter-{quote(parameter.name)}", "FormalParameter", name=parameter.name,
                            additionalType=TYPES.get(parameter.type, "Text"), valueRequired=parameter.default is None,
                            conformsTo={"@id": FORMAL_PARAMETER}, **{key: value for key, value in given.items() if value})

    def _action(self, workflow: DataEntity, files: list[DataEntity]) -> None:
        said = self.said
        values = [self._entity(f"#value-{quote(name)}", "PropertyValue", name=name, value=value,
                               **self._example(f"#parameter-{quote(name)}")) for name, value in sorted(said.parameters.items())]
        results = [self._entity(f"#result-{quote(name)}", "PropertyValue", name=name, value=value,
                                exampleOfWork={"@id": f"#output-{quote(name)}"}) for name, value in sorted(self.results.items())]
        times = {"startTime": said.began_at, "endTime": said.ended_at}
        ended_well = said.outcome in ("ok", "stopped")
        self._entity("#run", "CreateAction", name=f"run {said.run} of instance {said.instance}", instrument=workflow,
                     agent=self._entity(f"#user-{quote(said.created_by)}", "Person", name=said.created_by),
                     object=values, result=[*results, *files],
                     actionStatus={"@id": f"http://schema.org/{'Completed' if ended_well else 'Failed'}ActionStatus"},
                     **{key: at.isoformat() for key, at in times.items() if at is not None},
                     **({} if ended_well else {"error": said.reason or said.outcome}))

    def _example(self, identifier: str) -> dict[str, Any]:
        """Of values that runs were given beside what the template declares, there is none."""
        return {"exampleOfWork": {"@id": identifier}} if self.crate.dereference(identifier) is not None else {}

    def _file(self, member: Member, properties: dict[str, Any] | None = None) -> DataEntity:
        """Named by its path's bytes, percent-encoded, so that names that are not UTF-8 have one, too."""
        encoding = FORMATS.get(os.path.splitext(member.path)[1])
        found = DataEntity(self.crate, quote(os.fsencode(member.path)), {
            "@type": "File", "contentSize": str(member.size_bytes), "sha256": _sha256(member.pieces()),
            **({"encodingFormat": encoding} if encoding else {}), **(properties or {})})
        self.crate.add(found)
        return found

    def _entity(self, identifier: str, kind: str, /, **properties: Any) -> ContextEntity:
        found = ContextEntity(self.crate, identifier, {"@type": kind, **properties})
        self.crate.add(found)
        return found


def _sha256(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
