"""`jobs-app job export`, `import` and `explain`, against the real API."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.canned import Canned, CannedServer, a_job, a_run, page, problem

Run = Callable[..., Result]

TWO = """\
nightly:
  task: shell
  kwargs: {command: make report}
  schedule: {cron: 30 2 * * *, timezone: Europe/Paris}
  retry: {max_attempts: 3, on: [failed]}
ticks:
  task: sleep
  kwargs: {duration: 0}
  schedule: {interval_seconds: 300}
"""


@pytest.mark.usefixtures("installation")
def test_an_import_creates_what_is_missing_and_a_second_one_changes_nothing(run: Run) -> None:
    first = run("job", "import", "-", stdin=TWO)
    second = run("job", "import", "-", stdin=TWO)

    assert first.exit_code == 0, first.output
    assert [line.partition(":")[0] for line in first.stdout.splitlines()] == [
        "Created nightly",
        "Created ticks",
    ]
    assert second.stdout.splitlines() == ["Unchanged nightly.", "Unchanged ticks."]


@pytest.mark.usefixtures("installation")
def test_what_is_exported_is_imported_unchanged(run: Run, tmp_path: Path) -> None:
    run("job", "import", "-", stdin=TWO)
    exported = run("job", "export").stdout
    (tmp_path / "jobs.yaml").write_text(exported)

    again = run("job", "import", str(tmp_path / "jobs.yaml"))

    assert again.stdout.splitlines() == ["Unchanged nightly.", "Unchanged ticks."]
    run("job", "delete", "nightly", "--yes")
    run("job", "import", str(tmp_path / "jobs.yaml"))
    assert run("job", "export").stdout == exported


@pytest.mark.usefixtures("installation")
def test_an_import_changes_only_what_differs(run: Run) -> None:
    run("job", "import", "-", stdin=TWO)

    result = run("job", "import", "-", stdin=TWO.replace("30 2", "45 3"))

    assert result.stdout.splitlines()[0].startswith("Changed nightly: At 03:45 every day")
    assert result.stdout.splitlines()[1] == "Unchanged ticks."
    job = json.loads(run("job", "show", "ticks", "--json").stdout)
    assert job["version"] == 1


@pytest.mark.usefixtures("installation")
def test_a_dry_run_says_what_an_import_would_do_and_does_nothing(run: Run) -> None:
    crowded = TWO.replace("30 2 * * *", "30 2 29 2 *")

    result = run("job", "import", "-", "--dry-run", stdin=crowded)
    as_json = run("job", "import", "-", "--dry-run", "--json", stdin=crowded)

    assert result.stdout.startswith("Would create nightly: ")
    assert "Note on nightly: It fires on 29 February only" in result.stderr
    items = json.loads(as_json.stdout)["items"]
    assert [(item["name"], item["action"]) for item in items] == [
        ("nightly", "create"),
        ("ticks", "create"),
    ]
    assert items[0]["effect"]["would_run_now"] is False
    assert json.loads(run("job", "list", "--json").stdout)["items"] == []


@pytest.mark.usefixtures("installation")
def test_a_dry_run_names_each_field_that_an_import_would_change(run: Run) -> None:
    full = "hello: {task: shell, kwargs: {command: date}, tags: [a, b], description: Old,"
    run("job", "import", "-", stdin=full + " schedule: {cron: 0 1 * * *}, priority: 3}")

    result = run(
        "job", "import", "-", "--dry-run", stdin="hello: {task: sleep, kwargs: {duration: 1}}"
    )

    lines = result.stdout.splitlines()
    assert lines[0].startswith("Would change hello: no schedule")
    assert {line.strip() for line in lines[1:]} >= {
        'description: "Old" -> ""',
        'kwargs.command: "date" -> none',
        "kwargs.duration: none -> 1",
        'schedule.cron: "0 1 * * *" -> none',
        'tags: ["a", "b"] -> []',
        'task: "shell" -> "sleep"',
    }
    assert not any("version" in line or "updated_at" in line for line in lines)


@pytest.mark.usefixtures("installation")
def test_a_dry_run_of_an_edit_names_the_fields(run: Run) -> None:
    run("job", "import", "-", stdin=TWO)

    result = run("job", "edit", "ticks", "--every", "10m", "--dry-run")

    assert result.stdout.startswith(
        "It would change:\n  schedule.interval_seconds: 300 -> 600\n\nNothing was changed."
    )


@pytest.mark.parametrize(
    "text",
    [
        "30 2 * * * backup.sh --all\n",
        "# jobs\nMAILTO=ops\n*/5 9-17 * * MON-FRI  /usr/bin/check\n",
        "SHELL=/bin/sh\n@daily rotate\n",
        "0\t1\t*\t*\t0\troot\tpurge\n",
    ],
)
def test_a_crontab_gets_a_sentence_that_helps(run: Run, text: str) -> None:
    result = run("job", "import", "-", stdin=text)

    assert result.exit_code == 2
    assert "This is a crontab" in result.stderr
    assert "jobs-app import crontab FILE" in result.stderr


def test_broken_yaml_is_not_taken_for_a_crontab(run: Run) -> None:
    result = run("job", "import", "-", stdin="hello: {task: [shell\n")

    assert result.exit_code == 2
    assert "crontab" not in result.stderr


@pytest.mark.usefixtures("installation")
def test_one_bad_job_keeps_the_whole_file_out_and_each_is_named(run: Run) -> None:
    bad = TWO + "worse: {task: shel}\nworst: {task: sleep, schedule: {cron: nonsense}}\n"

    result = run("job", "import", "-", stdin=bad)

    assert result.exit_code == 2
    assert "worse: " in result.stderr
    assert "worst: " in result.stderr
    assert "2 jobs were refused; nothing was changed." in result.stderr
    assert json.loads(run("job", "list", "--json").stdout)["items"] == []


@pytest.mark.usefixtures("installation")
def test_an_import_of_very_many_faults_names_some_of_them(run: Run) -> None:
    jobs = "".join(f"job-{n}: {{task: none}}\n" for n in range(10_000))
    fields = "".join(f"  field{n}: 1\n" for n in range(10_000))

    many_jobs = run("job", "import", "-", stdin=jobs)
    many_fields = run("job", "import", "-", stdin=f"a:\n  task: sleep\n{fields}")

    assert (many_jobs.exit_code, many_fields.exit_code) == (2, 2)
    assert "20 jobs were refused, and 9,980 more were not tried" in many_jobs.stderr
    assert "There are 9,980 more errors." in many_fields.stderr
    assert len(many_jobs.stderr.splitlines()) < 50
    assert len(many_fields.stderr.splitlines()) < 50


@pytest.mark.usefixtures("installation")
def test_an_export_of_a_paused_job_says_what_the_file_does_not(run: Run) -> None:
    run("job", "import", "-", stdin=TWO)
    run("job", "pause", "ticks")

    result = run("job", "export", "ticks")

    assert "name: ticks" in result.stdout
    assert "nightly" not in result.stdout
    assert "Paused, which the file does not hold: ticks." in result.stderr


@pytest.mark.usefixtures("installation")
def test_a_resume_has_a_dry_run(run: Run) -> None:
    run("job", "import", "-", stdin=TWO)
    run("job", "pause", "ticks")

    result = run("job", "resume", "ticks", "--on-missed", "all", "--dry-run")

    assert result.exit_code == 0
    assert "Nothing was changed. With this, ticks would fire:" in result.stdout
    assert json.loads(run("job", "show", "ticks", "--json").stdout)["state"] == "paused"


@pytest.mark.usefixtures("installation")
def test_a_dry_run_of_a_job_without_a_schedule_lists_no_fires(run: Run) -> None:
    result = run("job", "create", "by-hand", "--command", "true", "--manual", "--dry-run")

    sentence = "Nothing was changed. With this, by-hand would not fire by itself.\n"
    assert result.stdout == sentence
    assert "fires" not in result.stderr


@pytest.mark.usefixtures("installation")
def test_explain_prints_the_sentence(run: Run) -> None:
    run("job", "import", "-", stdin=TWO)

    result = run("job", "explain", "nightly", "--at", "2098-01-02 02:30")
    as_json = run("job", "explain", "nightly", "--at", "2098-01-02 02:31", "--json")
    wrong = run("job", "explain", "nightly", "--at", "someday")

    assert result.stdout == "It will run at 2098-01-02 02:30 CET.\n"
    assert json.loads(as_json.stdout)["outcome"] == "not_a_fire"
    assert wrong.exit_code == 2
    assert "--at: 'at' must be a time: write 02:30, yesterday" in wrong.stderr


def test_a_file_that_cannot_be_read_is_refused_before_anything_is_sent(
    server: CannedServer, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe")

    missing = run("job", "import", str(tmp_path / "none.yaml"))
    binary = run("job", "import", str(tmp_path / "bad.yaml"))
    wrong = run("job", "import", "-", stdin="- just text")

    assert [missing.exit_code, binary.exit_code, wrong.exit_code] == [2, 2, 2]
    assert server.requests == []


def test_an_export_of_nothing_says_so(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", page())

    result = run("job", "export")

    assert (result.stdout, result.stderr) == ("", "There are no jobs.\n")


def test_a_change_in_between_is_a_conflict(server: CannedServer, run: Run) -> None:
    present = Canned(a_job(), headers={"ETag": '"3"'})
    server.on("GET", "/jobs/hello", present)
    stale = problem(412, code="stale_version", detail="The job is at version 4.")
    effect: dict[str, list[str]] = {"warnings": []}
    server.on("PUT", "/jobs/hello", Canned({"job": a_job(queue="b"), "effect": effect}), stale)

    result = run("job", "import", "-", stdin="hello: {task: shell, queue: b}")

    assert result.exit_code == 4
    assert [request.headers["If-Match"] for request in server.requests[1:]] == ['"3"', '"3"']


def test_a_row_for_many_fires_says_how_many(server: CannedServer, run: Run) -> None:
    server.on("GET", "/runs", page(a_run("missed", fires=1341), a_run()))

    result = run("run", "list")

    assert "missed (1,341 fires)" in result.stdout
    assert "succeeded  " in result.stdout


FIRST = "a: {task: sleep, kwargs: {duration: 0}}\nb: {task: sleep, kwargs: {duration: 0}}\n"


def names_of(run: Run) -> list[str]:
    items = json.loads(run("job", "list", "--json").stdout)["items"]
    return [item["name"] for item in items]


@pytest.mark.usefixtures("installation")
def test_a_prune_deletes_only_what_an_import_of_the_same_file_made(
    run: Run, tmp_path: Path
) -> None:
    file, other = tmp_path / "jobs.yaml", tmp_path / "other.yaml"
    run("job", "create", "b", "--command", "true", "--manual")
    run("job", "create", "by-hand", "--command", "true", "--manual")
    other.write_text("elsewhere: {task: sleep, kwargs: {duration: 0}}\n")
    file.write_text(FIRST + "c: {task: sleep, kwargs: {duration: 0}}\n")
    for path in (file, other):
        assert run("job", "import", str(path), "--prune").exit_code == 0
    file.write_text("a: {task: sleep, kwargs: {duration: 1}}\n")

    shown = run("job", "import", str(file), "--prune", "--dry-run")
    refused = run("job", "import", str(file), "--prune")
    before = names_of(run)
    done = run("job", "import", str(file), "--prune", "--yes")

    assert "Would delete c; its runs would stay on record." in shown.stdout
    assert (refused.exit_code, before) == (2, ["a", "b", "by-hand", "c", "elsewhere"])
    assert "Add --yes to delete" in refused.stderr
    assert "Deleted c; its runs stay on record." in done.stdout
    # b was there before the first import, though that changed it.
    assert names_of(run) == ["a", "b", "by-hand", "elsewhere"]


@pytest.mark.usefixtures("installation")
def test_an_import_without_prune_keeps_the_origin_of_a_job(run: Run) -> None:
    run("job", "import", "-", "--prune", "--label", "team", stdin=FIRST)
    run("job", "import", "-", stdin=FIRST.replace("0}", "1}"))
    result = run("job", "import", "-", "--prune", "--label", "team", "--yes", "--json", stdin=TWO)

    actions = {item["name"]: item["action"] for item in json.loads(result.stdout)["items"]}
    assert actions == {"nightly": "create", "ticks": "create", "a": "delete", "b": "delete"}
    assert names_of(run) == ["nightly", "ticks"]


def test_a_prune_of_standard_input_needs_a_label(server: CannedServer, run: Run) -> None:
    results = [
        run("job", "import", "-", "--prune", stdin=TWO),
        run("job", "import", "-", "--label", "x", stdin=TWO),
    ]

    assert [result.exit_code for result in results] == [2, 2]
    assert "With standard input, --prune needs a --label." in results[0].stderr
    assert "--label goes with --prune or --from-beat." in results[1].stderr
    assert server.requests == []
