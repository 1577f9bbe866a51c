"""The modules of JOBS_IMPORTS are found in the working directory, behind every library."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs_app.core.errors import ConfigurationError
from jobs_app.tasks.module_path import check_modules

ROOT = Path(__file__).parents[2]

LOAD = """
import sys
from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
app = make_celery(Settings(imports=sys.argv[1], redis_url="redis://127.0.0.1:1"))
app.loader.import_default_modules()
print(*sorted(name for name in app.tasks if name.startswith(("reports", "theirs"))))
"""
CHECK = """
import sys
from jobs_app.core.errors import ConfigurationError
from jobs_app.tasks.module_path import check_modules
try:
    check_modules(tuple(sys.argv[1].split(",")))
except ConfigurationError as error:
    print(error.detail)
"""
REPORTS = """
import secrets, redis
from celery import shared_task
@shared_task
def monthly(): pass
"""
OWN_APP = """
from celery import Celery
celery_app = Celery("theirs", include=["reports"])
@celery_app.task
def daily(): pass
"""


def printed(program: str, *arguments: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        cwd=directory,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A directory with modules, and with files that are named like libraries."""
    for name in ("secrets", "celery", "redis", "email", "queue", "kombu", "typing", "billiard"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('SHADOW')\n")
    (tmp_path / "reports.py").write_text(REPORTS)
    (tmp_path / "theirs.py").write_text(OWN_APP)
    return tmp_path


@pytest.mark.parametrize(
    "imports, tasks",
    [
        pytest.param("", "", marks=pytest.mark.nightly),
        pytest.param("reports", "reports.monthly", marks=pytest.mark.nightly),
        ("theirs", "reports.monthly theirs.daily"),
    ],
)
def test_a_file_that_is_named_like_a_library_takes_the_place_of_none(
    directory: Path, imports: str, tasks: str
) -> None:
    assert printed(LOAD, imports, directory=directory) == tasks


def test_a_module_in_a_directory_that_others_can_write_is_refused(directory: Path) -> None:
    assert printed(CHECK, "reports", directory=directory) == ""

    directory.chmod(0o1777)

    assert f"is in {directory}, which other users can write" in printed(
        CHECK, "reports", directory=directory
    )


@pytest.mark.parametrize("spoiled", ["reports.py", "pkg", "pkg/__init__.py", "pkg/jobs.py"])
def test_a_module_that_others_can_write_is_refused(directory: Path, spoiled: str) -> None:
    (directory / "pkg").mkdir()
    (directory / "pkg" / "__init__.py").touch()
    (directory / "pkg" / "jobs.py").write_text(REPORTS)
    assert printed(CHECK, "reports,pkg.jobs", directory=directory) == ""

    path = directory / spoiled
    path.chmod(path.stat().st_mode | 0o002)

    assert f"other users can write {path}" in printed(
        CHECK, "reports,pkg.jobs", directory=directory
    )


def test_such_a_directory_does_no_harm_to_modules_that_are_elsewhere(directory: Path) -> None:
    directory.chmod(0o1777)

    assert printed(CHECK, "tests.tasks.sample_tasks", directory=directory) == ""
    printed(LOAD, "tests.tasks.sample_tasks", directory=directory)


def test_a_module_that_is_nowhere_is_refused(directory: Path) -> None:
    assert "there is no module 'reprots'" in printed(CHECK, "reprots", directory=directory)


@pytest.mark.parametrize(
    "written, advice",
    [
        ("reports:app", "Name the module, 'reports': jobs-app finds the applications in it"),
        ("reports.py", "write it as in an import, 'reports'"),
        ("./shop/reports.py", "write it as in an import, 'shop.reports'"),
        ("shop/reports", "write it as in an import, 'shop.reports'"),
        ("my-reports", "write it as in an import."),
        ("../reports", "write it as in an import."),
        (".", "write it as in an import."),
    ],
)
def test_what_is_no_name_of_a_module_is_refused_with_the_name_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, advice: str
) -> None:
    (tmp_path / "reports.py").touch()
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError) as raised:
        check_modules((written,))

    assert advice in raised.value.detail
