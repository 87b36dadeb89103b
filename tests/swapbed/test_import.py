"""`import swapbed`: nothing heavy, nothing foreign, everything it promises."""

import subprocess
import sys
from pathlib import Path

import pytest

import swapbed

HEAVY = ("prefect", "sqlmodel", "sqlalchemy", "boto3", "fastapi", "matplotlib", "pyroute2")


def python(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", ["models", "tasks"])
@pytest.mark.parametrize("form", ["package", "module", "folder"])
def test_a_folder_of_the_user_that_hides_a_floor_is_named(tmp_path: Path, name: str, form: str) -> None:
    if form == "module":
        (tmp_path / f"{name}.py").touch()
    else:
        (tmp_path / name).mkdir()
        if form == "package":
            (tmp_path / name / "__init__.py").touch()
    found = python("import swapbed", tmp_path)
    assert found.returncode != 0
    said = found.stderr.strip().splitlines()[-1]
    assert said.startswith("ImportError: swapbed needs its own package") and str(tmp_path / name) in said and "rename" in said


@pytest.mark.parametrize("code", ["import swapbed", "import swapbed.cli.tree"])
def test_nothing_heavy_is_imported(tmp_path: Path, code: str) -> None:
    found = python(f"{code}\nimport sys\nprint(*(set({HEAVY!r}) & set(sys.modules)))", tmp_path)
    assert found.stdout.split() == [], found.stderr


def test_every_promised_name_is_there() -> None:
    for name in swapbed.__all__:
        assert getattr(swapbed, name) is not None
    assert dir(swapbed) == swapbed.__all__
    with pytest.raises(AttributeError, match="no attribute 'deplloy'"):
        swapbed.deplloy  # noqa: B018


def test_modules_of_the_face_do_not_hide_its_functions(tmp_path: Path) -> None:
    code = "import pkgutil, importlib, swapbed\n" \
           "for found in pkgutil.iter_modules(swapbed.__path__): importlib.import_module(f'swapbed.{found.name}')\n" \
           "print(*(name for name, place in swapbed._LAZY.items() if ':' in place and not callable(getattr(swapbed, name))))"
    found = python(code, tmp_path)
    assert (found.returncode, found.stdout.split()) == (0, []), found.stderr
