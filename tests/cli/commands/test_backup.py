"""`jobs-app backup` and `restore`, on the database of this machine."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from jobs_app.cli import cli
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from tests.factories import make_job

Run = Callable[..., Result]


def add_job(settings: Settings, name: str) -> None:
    database = Database(settings.effective_database_url)
    make_job(database, name=name)
    database.close()


def test_a_restore_brings_a_backup_back_and_asks_before_it_replaces(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "jobs.gz"
    add_job(settings, "kept")

    made = run("backup", str(file))
    add_job(settings, "lost")
    again = run("backup", str(file))
    refused = run("restore", str(file), "--yes")
    asked = run("restore", str(file), "--replace")
    done = run("restore", str(file), "--replace", "--yes", "--paused")

    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("Wrote ")
    assert (again.exit_code, refused.exit_code, asked.exit_code) == (1, 1, 2)
    assert "is there already" in again.stderr
    assert "The database is not empty" in refused.stderr
    assert "Add --yes" in asked.stderr
    assert done.exit_code == 0, done.output
    assert "Paused 1 job, and ended the runs that had not" in done.stdout
    assert f"The database as it was is in {tmp_path / 'jobs.db.before-restore'}" in done.stderr


def test_a_backup_goes_through_standard_output_and_input(settings: Settings) -> None:
    runner = CliRunner()
    add_job(settings, "kept")

    made = runner.invoke(cli, ["backup", "-"])
    whole, half = made.stdout_bytes, made.stdout_bytes[:-20]
    refused = runner.invoke(cli, ["restore", "-", "--replace", "--yes"], input=half)
    asked = runner.invoke(cli, ["restore", "-", "--replace"], input=whole)
    done = runner.invoke(cli, ["restore", "-", "--replace", "--yes"], input=whole)

    assert made.exit_code == 0, made.stderr
    assert made.stderr.startswith("Wrote ")
    assert (refused.exit_code, asked.exit_code) == (1, 2)
    assert "This is no whole backup" in refused.stderr
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Restored ")


def test_a_terminal_is_no_place_for_a_backup(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = os.openpty()
    with open(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        monkeypatch.setattr(sys, "stdout", terminal)

        with pytest.raises(click.UsageError, match="name a file, or add >FILE"):
            cli(["backup", "-"], standalone_mode=False)
        with pytest.raises(click.UsageError, match="name a file, or add <FILE"):
            cli(["restore", "-"], standalone_mode=False)

    os.close(ours)


def test_a_file_that_is_no_backup_is_refused(settings: Settings, run: Run, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")

    result = run("restore", str(tmp_path / "text"))
    missing = run("restore", str(tmp_path / "none"))

    assert (result.exit_code, missing.exit_code) == (1, 6)
    assert "This is no backup of jobs-app." in result.stderr
    assert "No such file" in missing.stderr
    assert settings.data_dir == tmp_path
