"""`up` hears from the process that prepares the database what came of it."""

import json
import os
from pathlib import Path

import pytest

from jobs_app.core.errors import ConfigurationError, JobsError, Unavailable
from jobs_app.up import preparation
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.preparation import Prepared, prepare_database


def prepare(data_dir: Path, **variables: str) -> Prepared:
    environment = {"PATH": os.environ["PATH"], "JOBS_DATA_DIR": str(data_dir)} | variables
    death_pipe = ParentDeathPipe()
    try:
        return prepare_database(environment, {}, death_pipe, with_demo=False)
    finally:
        death_pipe.close()


def test_a_new_database_is_made_and_wants_its_first_person(tmp_path: Path) -> None:
    prepared = prepare(tmp_path)

    assert prepared.key
    assert list(prepared.demo_jobs) == []
    assert (tmp_path / "jobs.db").exists()


def test_a_setting_that_cannot_work_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="JOBS_SECRET_KEY is no key"):
        prepare(tmp_path, JOBS_SECRET_KEY="none")


def test_another_refusal_is_no_error_of_the_configuration() -> None:
    text = json.dumps({"refusal": "It is full.", "code": "conflict"})

    with pytest.raises(JobsError, match="It is full") as caught:
        preparation.read_answer(text)

    assert not isinstance(caught.value, ConfigurationError)


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/nowhere"):
        prepare(tmp_path, JOBS_DATABASE_URL="postgresql://ann@127.0.0.1:1/nowhere")


def test_a_process_that_ends_without_a_word_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "TARGET", "os:_exit")

    with pytest.raises(JobsError, match="see above"):
        prepare(tmp_path)
