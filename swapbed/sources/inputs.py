"""Files of a record as input of another run, as a person writes it: `net/1:nodes/a/archive/trace=b:/root/trace`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from models.errors import InvalidInput, NotFound
from models.recorded import InputFile
from models.spec import Spec
from swapbed import record_verbs
from tasks.inputs import files_below
from tasks.record_trees import tree_of

PLACE = "/swapbed/inputs"


def inputs_of(texts: Iterable[str], spec: Spec) -> list[dict[str, str]]:
    """RECORD:PATH=NODE:TARGET each, as a run's row has it: the record by its hash. PATH may be a directory; without TARGET, or where that
    ends in `/`, the name stays. Raises InvalidInput or NotFound before anything is made."""
    return [_input(text, spec).model_dump() for text in texts]


def _input(text: str, spec: Spec) -> InputFile:
    source, sign, place = text.partition("=")
    record, colon, path = source.partition(":")
    node, _, target = place.partition(":")
    path = path.strip("/")
    if not sign or not colon or not record or not path or not node:
        raise InvalidInput(f"'{text}' does not say which file goes where", where="--input",
                           next="Write RECORD:PATH=NODE:TARGET, as net/1:nodes/a/archive/trace=b:/root/trace")
    if node not in {each.name for each in spec.nodes}:
        raise NotFound(f"there is no node '{node}'", where=text, next=f"There are: {', '.join(each.name for each in spec.nodes)}")
    if not target or target.endswith("/"):
        target = f"{(target or PLACE).rstrip('/')}/{PurePosixPath(path).name}"
    if not target.startswith("/") or ".." in target.split("/"):
        raise InvalidInput(f"'{target}' must be absolute in the node, without '..'", where=text)
    store, root = tree_of(record_verbs.find(record).row)
    files_below(store, root, path)
    return InputFile(record=root, path=path, node=node, target=target)
