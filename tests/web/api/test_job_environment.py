"""The variables that files give to a command are named, each with its file, and never shown."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask

from jobs_app.core.settings import Settings
from jobs_app.web.app import create_app
from tests.web.conftest import Api, a_job, close

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "all").write_text("A=canary-1\nB=canary-2\n")
    (tmp_path / "web").write_text("C=canary-3\n")
    return tmp_path


@pytest.fixture
def app(settings: Settings, files: Path) -> Iterator[Flask]:
    update = {"env_files": f"{files}/all,web={files}/web"}
    made = create_app(settings.model_copy(update=update))
    yield made
    close(made)


def test_a_job_and_a_dry_run_name_the_variables_of_a_command(api: Api, files: Path) -> None:
    job = a_job(name="x", tags=["web"], kwargs={"command": "true", "env": {"B": "own"}})

    answers = [api.post("/jobs?dry_run=true", job), api.post("/jobs", job), api.get("/jobs/x")]

    expected = [{"name": "A", "file": f"{files}/all"}, {"name": "C", "file": f"{files}/web"}]
    documents = [answer.json.get("job", answer.json) for answer in answers]
    assert [document["environment"] for document in documents] == [expected] * 3
    assert not any("canary" in answer.text for answer in answers)


def test_a_job_of_another_task_has_no_such_variables(api: Api) -> None:
    assert api.make_job("x", task="sleep", kwargs={"duration": 1})["environment"] == []


def test_whoever_may_not_see_arguments_sees_no_variables(
    api: Api, api_of: Callable[..., Api]
) -> None:
    api.make_job("x")

    assert api_of("viewer").get("/jobs/x").json["environment"] == []


def test_a_file_that_cannot_be_used_is_a_warning(api: Api, files: Path) -> None:
    (files / "all").unlink()

    job = api.make_job("x")

    assert job["environment"] == []
    assert any("cannot be read" in warning for warning in job["warnings"])
