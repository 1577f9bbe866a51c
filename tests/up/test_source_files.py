"""Changes are found in all that a task may import of its project, and nowhere else."""

import os
from pathlib import Path

import pytest

from jobs_app.core.errors import ConfigurationError
from jobs_app.up import source_files
from jobs_app.up.source_files import SourceFiles


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a project, in which jobs-app was started."""
    project = tmp_path / "project"
    write(project / "shop" / "__init__.py")
    write(project / "shop" / "tasks.py")
    write(project / "models.py")
    monkeypatch.chdir(project)
    monkeypatch.syspath_prepend(str(project))
    return project


def test_a_change_is_found_once(project: Path) -> None:
    files = SourceFiles(["shop.tasks", "models"])
    assert files.roots == [project]
    assert files.changes() == []

    changed = [write(project / "models.py", "x = 1"), write(project / "shop" / "tasks.py", "x = 1")]
    added = write(project / "shop" / "reports" / "new.py")
    (project / "shop" / "__init__.py").unlink()

    assert files.changes() == sorted([*changed, added, project / "shop" / "__init__.py"])
    assert files.changes() == []


def test_a_change_of_the_same_length_is_found_by_its_time(project: Path) -> None:
    file = write(project / "models.py", "x = 1")
    os.utime(file, ns=(0, 1))
    files = SourceFiles(["models"])

    os.utime(file, ns=(0, 2))

    assert files.changes() == [file]


@pytest.mark.parametrize(
    "name",
    [
        "shop/template.html",
        "shop/__pycache__/tasks.py",
        ".git/hook.py",
        "node_modules/gyp/gyp.py",
        "env/lib/site.py",
    ],
)
def test_a_change_of_something_else_is_none(project: Path, name: str) -> None:
    write(project / "env" / "pyvenv.cfg")
    write(project / name)
    files = SourceFiles(["shop.tasks"])

    write(project / name, "changed")

    assert files.changes() == []


def test_of_an_installed_package_nothing_beside_it_is_looked_at(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = project / "lib" / "site-packages"
    inside = write(installed / "their_tasks" / "__init__.py")
    beside = write(installed / "other" / "__init__.py")
    monkeypatch.syspath_prepend(str(installed))
    files = SourceFiles(["their_tasks.of_them"])
    assert files.roots == [installed / "their_tasks"]

    write(inside, "changed")
    write(beside, "changed")

    assert files.changes() == [inside]


def test_a_module_that_is_not_there_yet_is_no_error(project: Path) -> None:
    assert SourceFiles(["no_such_module_anywhere"]).roots == []


def test_a_home_directory_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_files, "MAX_DIRECTORIES", 2)
    write(project / "a" / "x.py")
    write(project / "b" / "x.py")

    with pytest.raises(ConfigurationError, match=f"{project} has more than 2 directories"):
        SourceFiles(["models"])
