"""Files of jobs; `apply` and `job import` try the rest."""

from pathlib import Path

import click
import pytest

from jobs_app.cli.job_files import read_file, read_files

JOB = "a: {task: sleep}\n"


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(JOB)

    assert len(read_files([str(file), str(tmp_path)]).jobs) == 1


def test_a_job_may_be_called_set(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("set: {task: sleep}\n")

    read = read_file(str(file))

    assert (read.set, [job["name"] for job in read.jobs]) == (None, ["set"])


def test_a_set_without_jobs_says_so_itself(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("set: x\n")

    with pytest.raises(click.UsageError):
        read_file(str(file))
    file.write_text("set: x\njobs: []\n")
    assert (read_file(str(file)).set, read_file(str(file)).jobs) == ("x", [])


@pytest.mark.parametrize("jobs", ["{a: {task: sleep}}", "[{name: a, task: sleep}]"])
def test_a_set_may_get_its_name_from_the_command(tmp_path: Path, jobs: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"jobs: {jobs}\n")

    read = read_file(str(file))

    assert (read.set, [job["name"] for job in read.jobs]) == (None, ["a"])


def test_a_job_may_be_called_jobs(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("jobs: {task: sleep}\n")

    assert [job["name"] for job in read_file(str(file)).jobs] == ["jobs"]


@pytest.mark.parametrize("name", ["5", "true", "null"])
def test_the_name_of_a_set_must_be_text(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"set: {name}\njobs: {{a: {{task: sleep}}}}\n")

    with pytest.raises(click.UsageError, match="after `set` must be text"):
        read_file(str(file))
