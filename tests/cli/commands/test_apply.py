"""`jobs-app apply`, against the real API."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from jobs_app.cli.client import connect
from tests.cli.canned import CannedServer

Run = Callable[..., Result]

A = "a: {task: sleep, kwargs: {duration: 0}, schedule: {cron: 30 2 * * *, timezone: UTC}}\n"
B = "b: {task: sleep, kwargs: {duration: 0}}\n"


def names_of(run: Run) -> list[str]:
    return [item["name"] for item in json.loads(run("job", "list", "--json").stdout)["items"]]


@pytest.mark.usefixtures("installation")
def test_an_apply_of_a_directory_twice_changes_nothing_the_second_time(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "a.yaml").write_text(A)
    (folder / "b.yml").write_text(B)
    (folder / "notes.txt").write_text("no jobs")

    first = run("apply", "-f", str(folder), "--set", "night")
    drift = run("apply", "-f", str(folder), "--set", "night", "--check")
    second = run("apply", "-f", str(folder), "--set", "night")

    assert first.exit_code == 0, first.output
    assert first.stdout.splitlines()[-1] == "2 created."
    assert first.stdout.startswith("Created a: At 02:30 every day")
    assert second.stdout == "Nothing to change: 2 jobs as in the files.\n"
    assert drift.exit_code == 0


@pytest.mark.usefixtures("installation")
def test_a_dry_run_shows_fields_fires_and_what_was_changed_by_hand(run: Run) -> None:
    run("apply", "-f", "-", "--set", "night", stdin=A)
    run("job", "edit", "a", "--priority", "1")

    shown = run("apply", "-f", "-", "--set", "night", "--check", stdin=A.replace("30 2", "30 3"))

    assert shown.exit_code == 1
    lines = shown.stdout.splitlines()
    assert lines[0].startswith("Would change a: At 03:30 every day")
    assert "  priority: 1 -> 5" in lines
    assert '  schedule.cron: "30 2 * * *" -> "30 3 * * *"' in lines
    (fires,) = [line for line in lines if "Next fires that move" in line]
    assert "02:30:00 UTC to " in fires
    assert lines[-1] == "Would be: 1 changed."
    assert "Note on a: tester changed priority by hand at " in shown.stderr
    assert json.loads(run("job", "show", "a", "--json").stdout)["priority"] == 1


@pytest.mark.usefixtures("installation")
def test_a_prune_asks_and_leaves_jobs_made_by_hand(run: Run) -> None:
    run("job", "create", "by-hand", "--command", "true", "--manual")
    run("apply", "-f", "-", stdin="set: night\njobs:\n  " + "  ".join((A + B).splitlines(True)))
    alone = "set: night\njobs:\n  " + A

    asked = run("apply", "-f", "-", "--prune", stdin=alone)
    done = run("apply", "-f", "-", "--prune", "--yes", stdin=alone)

    assert asked.exit_code == 2
    assert "Add --yes to delete" in asked.stderr
    assert "To be deleted: b, no longer in the set 'night'." in done.stderr
    assert "Deleted b; its runs stay on record." in done.stdout
    assert names_of(run) == ["a", "by-hand"]


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize("options, step", [([], "confirm_deletion"), (["--yes"], "print_note")])
def test_a_prune_deletes_no_job_that_joins_the_set_after_the_plan(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: list[str], step: str
) -> None:
    (tmp_path / "a.yaml").write_text(A)
    run("apply", "-f", "-", "--set", "night", stdin=A + B)
    late = {"name": "late", "task": "sleep", "kwargs": {"duration": 0}, "schedule": None}

    def join(_text: str, **_options: object) -> None:
        connect().send("POST", "/apply", body={"set": "night", "jobs": [late]})

    monkeypatch.setattr(f"jobs_app.cli.commands.apply.{step}", join)
    refused = run("apply", "-f", str(tmp_path / "a.yaml"), "--set", "night", "--prune", *options)

    assert (refused.exit_code, refused.stdout) == (4, "")
    assert "would be deleted, too: 'late'" in refused.stderr
    assert names_of(run) == ["a", "b", "late"]


@pytest.mark.usefixtures("installation")
def test_refused_jobs_are_named_and_nothing_is_changed(run: Run) -> None:
    result = run("apply", "-f", "-", stdin=A + "worse: {task: shel}\n")
    taken = run("apply", "-f", "-", "--set", "one", stdin=A)
    other = run("apply", "-f", "-", "--set", "two", stdin=A)

    assert result.exit_code == 2
    assert "worse: /task: " in result.stderr
    assert "Nothing was changed." in result.stderr
    assert (taken.exit_code, other.exit_code) == (0, 4)
    assert "a: /name: 'a' is managed by 'one'" in other.stderr


@pytest.mark.parametrize(
    "files, options, sentence",
    [
        ({"a.yaml": A, "b.yaml": A}, [], "The job 'a' is in "),
        ({"a.yaml": "set: x\njobs: []", "b.yaml": "set: y\njobs: []"}, [], "of the set 'y'"),
        ({"a.yaml": "set: x\njobs: []"}, ["--set", "y"], "--set says 'y'"),
        ({"a.yaml": A}, ["--prune"], "--prune needs the name of the set"),
        ({"a.txt": A}, [], "has no file *.yaml"),
        ({"a.yaml": "set: x\njob: []"}, [], "a set has no field 'job'"),
    ],
)
def test_files_that_contradict_are_refused_before_anything_is_sent(
    server: CannedServer,
    run: Run,
    tmp_path: Path,
    files: dict[str, str],
    options: list[str],
    sentence: str,
) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)

    result = run("apply", "-f", str(folder), *options)

    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert server.requests == []


@pytest.mark.usefixtures("installation")
def test_an_export_applies_as_it_is(run: Run, tmp_path: Path) -> None:
    run("apply", "-f", "-", "--set", "night", stdin=A + B)
    file = tmp_path / "jobs.yaml"
    file.write_text(run("job", "export").stdout)

    result = run("apply", "-f", str(file), "--set", "night", "--prune", "--check")

    assert file.read_text().startswith("# yaml-language-server: $schema=jobs.schema.json\n")
    assert result.exit_code == 0, result.output
