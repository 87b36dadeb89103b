"""Templates form trees, are immutable, and are found by whatever a person would call them."""

import threading

import pytest
from sqlalchemy import Engine
from sqlmodel import Session

from models.database import reading, writing
from models.errors import InvalidInput, NotFound
from models.spec import Node, Spec
from models.tables import Template
from models.templates import add_template, commit_source, find_template, load_spec, project_named, store_spec, template_digest


def _content(source: str) -> dict[str, str]:
    return {"language": "yaml", "source": source, "source_name": "x.yml", "created_by": "root"}


def _commit(session: Session, source: str, name: str = "study") -> Template:
    return commit_source(session, project_named(session, "default"), name=name, **_content(source))


def test_the_digest_never_changes() -> None:
    assert template_digest("yaml", "nodes: {ü: }\n", None, [], None) == "537e808dc329af684122851619c13598c2b8fb90cd0e469caa914fbbd1a212ed"


def test_editing_makes_a_child_and_the_same_content_makes_nothing(database: Engine) -> None:
    with writing(database) as session:
        first, second = _commit(session, "one"), _commit(session, "two")
        assert (second.parent_id, second.root_id, second.number) == (first.id, first.id, 2)
        assert _commit(session, "one").id == first.id and _commit(session, "two").id == second.id
        assert _commit(session, "one", name="another").id == first.id  # the same content without a parent is the same template


def test_two_commits_of_one_parent_at_once_both_live(database: Engine) -> None:
    with writing(database) as session:
        root = _commit(session, "one")
    made: list[Template] = []

    def commit(source: str) -> None:
        with writing(database) as session:
            project = project_named(session, "default")
            made.append(add_template(session, project, name="study", parent=session.get_one(Template, root.id), **_content(source)))

    threads = [threading.Thread(target=commit, args=(source,)) for source in ("left", "right")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(template.number for template in made) == [2, 3]
    assert {template.parent_id for template in made} == {root.id}


def test_found_by_name_number_hash_and_id(database: Engine) -> None:
    with writing(database) as session:
        first, second = _commit(session, "one"), _commit(session, "two")
    with reading(database) as session:
        project = project_named(session, "default")
        assert {find_template(session, project, text).id for text in ("study@1", first.id, first.digest, first.digest[:12])} == {first.id}
        assert find_template(session, project, "study").id == second.id
        for text in ("study@9", "nobody", "ffffffffffff"):
            with pytest.raises(NotFound):
                find_template(session, project, text)


def test_a_name_with_a_slash_is_refused(database: Engine) -> None:
    with pytest.raises(InvalidInput), writing(database) as session:
        _commit(session, "one", name="../x")


def test_a_spec_is_stored_once_and_comes_back_equal(database: Engine) -> None:
    spec = Spec(nodes=(Node(name="a"), Node(name="b")))
    with writing(database) as session:
        project = project_named(session, "default")
        ids = {store_spec(session, project.id, spec).id for _ in range(2)}
    with reading(database) as session:
        assert [load_spec(session, spec_id) for spec_id in ids] == [spec]
