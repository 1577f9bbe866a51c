"""`jobs-app job`: what is sent, what is printed, and the exit code."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.canned import Canned, CannedServer, a_job, page, problem

Run = Callable[..., Result]

BROKEN = {"at": "2026-11-01T00:00:00Z", "by": "admin", "reason": "broken"}
VERSION_3 = {"ETag": '"3"'}


def test_a_pause_can_have_an_end(server: CannedServer, run: Run) -> None:
    end = "2099-12-01T09:00:00Z"
    paused = a_job(state="paused", paused=BROKEN | {"until": end}, version=2, next_run_at=None)
    server.on("GET", "/jobs/hello", Canned(a_job(version=1)))
    server.on("POST", "/jobs/hello/pause", Canned(paused))

    result = run("job", "pause", "hello", "--reason", "broken", "--until", end)

    assert server.requests[-1].body == {"reason": "broken", "until": end}
    assert "paused by admin until 2099-12-01" in result.stdout
    assert result.stdout.rstrip().endswith(": broken.")


@pytest.mark.parametrize(
    "options, sent",
    [
        (
            ["--command", "date", "--cron", "0 3 * * *", "--timezone", "Europe/Paris"],
            {
                "task": "shell",
                "kwargs": {"command": "date"},
                "schedule": {"cron": "0 3 * * *", "timezone": "Europe/Paris"},
            },
        ),
        (
            ["--command", "date", "--every", "1h30m", "--jitter", "5m"],
            {
                "task": "shell",
                "kwargs": {"command": "date"},
                "schedule": {"interval_seconds": 5400, "jitter_seconds": 300},
            },
        ),
        (
            ["--command", "date", "--at", "2030-06-01 09:00", "--timezone", "Europe/Paris"],
            {
                "task": "shell",
                "kwargs": {"command": "date"},
                "schedule": {"at": "2030-06-01T07:00:00Z", "timezone": "Europe/Paris"},
            },
        ),
        (
            ["--task", "sleep", "--arg", "duration=10", "--manual"],
            {"task": "sleep", "kwargs": {"duration": 10}, "schedule": None},
        ),
        (
            ["--task", "x", "--arg", "text=a=b", "--arg", 'quoted="10"', "--arg", "flag=true"],
            {"task": "x", "kwargs": {"text": "a=b", "quoted": "10", "flag": True}},
        ),
        (
            ["--task", "x", "--kwargs", '{"a": 1, "b": 2}', "--arg", "b=3"],
            {"task": "x", "kwargs": {"a": 1, "b": 3}},
        ),
        (
            [
                "--task",
                "x",
                "--tag",
                "a",
                "--tag",
                "b",
                "--queue",
                "slow",
                "--overlap",
                "allow_all",
            ],
            {"task": "x", "tags": ["a", "b"], "queue": "slow", "overlap_policy": "allow_all"},
        ),
        (
            ["--task", "x", "--max-attempts", "3", "--retry-delay", "1m", "--time-limit", "none"],
            {
                "task": "x",
                "retry": {"max_attempts": 3, "delay_seconds": 60},
                "time_limit_seconds": None,
            },
        ),
        (
            ["--task", "x", "--max-attempts", "2", "--retry-on", "failed, timed_out"],
            {"task": "x", "retry": {"max_attempts": 2, "on": ["failed", "timed_out"]}},
        ),
    ],
)
def test_options_become_the_fields_of_the_job(
    server: CannedServer, run: Run, options: list[str], sent: dict[str, object]
) -> None:
    server.on("POST", "/jobs", Canned(a_job(), 201))

    result = run("job", "create", "hello", *options)

    assert result.exit_code == 0, result.output
    assert server.requests[0].body == {"name": "hello", **sent}


@pytest.mark.parametrize(
    "options, schedule",
    [(["--every", "0"], {"interval_seconds": 0}), (["--cron", ""], {"cron": ""})],
)
def test_zero_and_nothing_are_sent_so_that_the_server_names_them(
    server: CannedServer, run: Run, options: list[str], schedule: dict[str, object]
) -> None:
    server.on("POST", "/jobs", Canned(a_job(), 201))

    run("job", "create", "hello", "--command", "date", *options)

    assert server.requests[0].body["schedule"] == schedule


@pytest.mark.parametrize(
    "options, complaint",
    [
        ([], "Say what it runs"),
        (["--command", "date", "--cron", "* * * * *", "--manual"], "--cron and --manual"),
        (["--command", "date", "--every", "5 apples"], "is not a duration"),
        (["--command", "date", "--at", "someday"], "is not a time"),
        (["--task", "x", "--kwargs", "[1]"], "not a JSON object"),
        (["--task", "x", "--kwargs", "{"], "is not JSON"),
        (["--task", "x", "--arg", "novalue"], "NAME=VALUE"),
        (["--task", "sleep", "--command", "date"], "--command is for the task shell"),
        (["--command", "date", "--at", "2030-06-01 09:00", "--timezone", "Mars/X"], "IANA"),
        (["--from", "/nowhere.json"], "Cannot read"),
    ],
)
def test_wrong_usage_is_reported_without_asking_the_server(
    server: CannedServer, run: Run, options: list[str], complaint: str
) -> None:
    result = run("job", "create", "hello", *options)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert server.requests == []


def test_a_shown_job_can_be_created_again_under_another_name(
    server: CannedServer, run: Run
) -> None:
    server.on("POST", "/jobs", Canned(a_job(name="copy"), 201))

    result = run("job", "create", "copy", "--from", "-", stdin=json.dumps(a_job()))

    assert result.exit_code == 0
    sent = server.requests[0].body
    assert sent["name"] == "copy"
    assert sent["kwargs"] == {"command": "date"}
    assert sent.keys().isdisjoint({"id", "version", "state", "next_run_at", "last_run"})


def test_a_dry_run_shows_the_fires_after_and_before(server: CannedServer, run: Run) -> None:
    before = {"at": "2030-01-01T01:30:00Z", "local": "2030-01-01T02:30:00+01:00", "dst": None}
    after = {"at": "2030-03-31T01:00:00Z", "local": "2030-03-31T03:00:00+02:00", "dst": "gap"}
    effect = {
        "fires_before": [before],
        "fires_after": [after],
        "would_run_now": False,
        "catchup_runs": 0,
        "warnings": ["The clocks change."],
    }
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("PATCH", "/jobs/hello", Canned({"job": a_job(), "effect": effect}))

    result = run("job", "edit", "hello", "--cron", "30 2 31 3 *", "--dry-run")

    assert result.exit_code == 0
    assert server.requests[1].query == {"dry_run": "true"}
    assert "go forward" in result.stdout
    assert result.stdout.index("2030-03-31") < result.stdout.index("2030-01-01")
    assert "The clocks change." in result.stderr


def test_a_dry_run_on_a_paused_job_does_not_say_that_it_never_fires(
    server: CannedServer, run: Run
) -> None:
    effect = {
        "fires_before": [],
        "fires_after": [],
        "would_run_now": False,
        "catchup_runs": 0,
        "warnings": [],
    }
    paused = a_job(state="paused", next_run_at=None)
    server.on("GET", "/jobs/hello", Canned(paused, headers=VERSION_3))
    server.on("PATCH", "/jobs/hello", Canned({"job": paused, "effect": effect}))

    result = run("job", "edit", "hello", "--cron", "30 2 31 3 *", "--dry-run")

    assert "hello is paused" in result.stdout
    assert "never" not in result.stdout


def test_an_edit_sends_only_what_differs_with_the_version_it_read(
    server: CannedServer, run: Run
) -> None:
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("PATCH", "/jobs/hello", Canned(a_job(version=4)))

    result = run("job", "edit", "hello", "--queue", "slow", "--max-attempts", "3", "--tag", "")

    assert result.exit_code == 0
    assert server.requests[1].headers["If-Match"] == '"3"'
    assert server.requests[1].body == {"queue": "slow", "retry": {"max_attempts": 3}}


@pytest.mark.parametrize(
    "options, patch",
    [
        (["--cron", "0 4 * * *"], {"schedule": {"cron": "0 4 * * *"}}),
        (["--timezone", "UTC"], {"schedule": {"timezone": "UTC"}}),
        (["--every", "5m"], {"schedule": {"interval_seconds": 300, "cron": None}}),
        (["--every", "1mo"], {"schedule": {"every": "1 month", "cron": None}}),
        (["--end-at", "2030-01-01T00:00:00Z"], {"schedule": {"end_at": "2030-01-01T00:00:00Z"}}),
        (["--manual"], {"schedule": None}),
        (["--arg", "cwd=/srv"], {"kwargs": {"cwd": "/srv"}}),
        (["--kwargs", "{}"], {"kwargs": {"command": None}}),
        (["--command", "uptime"], {"kwargs": {"command": "uptime"}}),
        (["--time-limit", "none"], {"time_limit_seconds": None}),
    ],
)
def test_an_edit_is_a_merge_patch(
    server: CannedServer, run: Run, options: list[str], patch: dict[str, object]
) -> None:
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("PATCH", "/jobs/hello", Canned(a_job(version=4)))

    run("job", "edit", "hello", *options)

    assert server.requests[1].body == patch


def test_an_interval_gets_its_anchor(server: CannedServer, run: Run) -> None:
    ticking = {"interval_seconds": 30, "anchor_at": "2026-11-01T00:00:00Z", "timezone": "UTC"}
    server.on("POST", "/jobs", Canned(a_job()))
    server.on("GET", "/jobs/hello", Canned(a_job(schedule=ticking), headers=VERSION_3))
    server.on("PATCH", "/jobs/hello", Canned(a_job(version=4)))

    anchor = ("--anchor", "2026-11-02T08:00Z")
    run("job", "create", "hello", "--command", "a", "--every", "2w", *anchor)
    run("job", "edit", "hello", *anchor)
    run("job", "edit", "hello", "--anchor", "none")

    anchored = {"anchor_at": "2026-11-02T08:00:00Z"}
    schedule = {"every": "2 weeks", **anchored}
    assert server.requests[0].body == {
        "name": "hello",
        "task": "shell",
        "kwargs": {"command": "a"},
        "schedule": schedule,
    }
    assert server.requests[2].body == {"schedule": anchored}
    assert server.requests[4].body == {"schedule": {"anchor_at": None}}


def test_an_interval_that_becomes_a_cron_loses_its_anchor(server: CannedServer, run: Run) -> None:
    ticking = {"interval_seconds": 30, "anchor_at": "2026-11-01T00:00:00Z", "timezone": "UTC"}
    server.on("GET", "/jobs/hello", Canned(a_job(schedule=ticking), headers=VERSION_3))
    server.on("PATCH", "/jobs/hello", Canned(a_job(version=4)))

    run("job", "edit", "hello", "--cron", "@daily")

    assert server.requests[1].body == {
        "schedule": {"cron": "@daily", "anchor_at": None, "interval_seconds": None}
    }


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_edit_that_changes_nothing_prints_its_document(
    server: CannedServer, run: Run, dry_run: bool
) -> None:
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("PATCH", "/jobs/hello", Canned({"job": a_job(), "effect": {}}))

    flags = ["--json", *(["--dry-run"] if dry_run else [])]
    result = run("job", "edit", "hello", "--queue", "default", *flags)

    assert json.loads(result.stdout) == ({"job": a_job(), "effect": {}} if dry_run else a_job())
    bodies = [request.body for request in server.requests if request.method == "PATCH"]
    assert bodies == ([{}] if dry_run else [])


def test_an_edit_that_changes_nothing_sends_nothing(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))

    result = run("job", "edit", "hello", "--queue", "default")

    assert result.exit_code == 0
    assert "Nothing to change." in result.stderr
    assert [request.method for request in server.requests] == ["GET"]


def test_an_edit_after_somebody_elses_has_exit_code_4(server: CannedServer, run: Run) -> None:
    stale = problem(412, code="stale_version", detail="The job is at version 4, not 3.")
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("PATCH", "/jobs/hello", stale)

    result = run("job", "edit", "hello", "--queue", "slow")

    assert result.exit_code == 4
    assert "version 4" in result.stderr


def editor(tmp_path: Path, program: str) -> str:
    """Return a command line for EDITOR that runs *program* with the file's path as `path`."""
    script = tmp_path / "editor.py"
    script.write_text(f"import pathlib, sys\npath = pathlib.Path(sys.argv[1])\n{program}\n")
    return f"{sys.executable} {script}"


def test_without_a_terminal_no_editor_starts(
    server: CannedServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", editor(tmp_path, f"open({str(tmp_path / 'ran')!r}, 'w')"))
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))

    result = run("job", "edit", "hello")

    assert result.exit_code == 2
    assert "There is no terminal for an editor: use options, or --from FILE." in result.stderr
    assert not (tmp_path / "ran").exists()


def test_a_second_reason_for_a_pause_is_not_dropped_in_silence(
    server: CannedServer, run: Run
) -> None:
    paused = a_job(state="paused", paused={"by": "admin", "reason": "A"})
    server.on("GET", "/jobs/hello", Canned(paused))
    server.on("POST", "/jobs/hello/pause", Canned(paused))
    unchanged = "hello was paused already: nothing was changed.\n"

    second = run("job", "pause", "hello", "--reason", "B")
    assert second.stderr == f"{unchanged}The reason of hello stays 'A'.\n"
    assert (second.exit_code, second.stdout) == (0, "hello: paused by admin: A.\n")
    assert run("job", "pause", "hello", "--reason", "A").stderr == unchanged
    assert run("job", "pause", "hello").stderr == unchanged


def test_a_resume_says_that_a_job_was_not_paused(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello", Canned(a_job()))
    server.on("POST", "/jobs/hello/resume", Canned(a_job()))

    result = run("job", "resume", "hello")

    assert (result.exit_code, result.stderr) == (0, "hello was not paused: nothing was changed.\n")
    assert result.stdout.startswith("hello: At 02:30. Next run in ")


def test_a_dry_run_of_a_resume_says_that_the_job_is_not_paused(
    server: CannedServer, run: Run
) -> None:
    effect = {"fires_before": [], "fires_after": [], "would_run_now": False}
    effect |= {"catchup_runs": 0, "warnings": []}
    server.on("GET", "/jobs/hello", Canned(a_job()))
    server.on("POST", "/jobs/hello/resume", Canned({"job": a_job(), "effect": effect}))

    result = run("job", "resume", "hello", "--dry-run")

    assert result.stderr == "hello is not paused: a resume changes nothing.\n"


@pytest.mark.parametrize(
    "command, collection",
    [
        (["job", "show"], "jobs"),
        (["job", "pause"], "jobs"),
        (["job", "run"], "jobs"),
        (["job", "next"], "jobs"),
        (["job", "explain"], "jobs"),
        (["job", "delete", "--yes"], "jobs"),
        (["secret", "show"], "secrets"),
        (["channel", "show"], "channels"),
    ],
)
def test_a_misspelt_name_gets_a_suggestion(
    server: CannedServer, run: Run, command: list[str], collection: str
) -> None:
    missing = problem(404, code="not_found", detail="There is no such thing 'helo'.")
    for method in ("GET", "POST", "DELETE"):
        for rest in ("", "/pause", "/runs", "/next", "/explain"):
            server.on(method, f"/{collection}/helo{rest}", missing)
    server.on("GET", f"/{collection}", page({"name": "goodbye"}, {"name": "hello"}))

    result = run(*command, "helo")

    assert result.exit_code == 3
    assert "There is no such thing 'helo'. Did you mean 'hello'?" in result.stderr


def test_a_schedule_that_came_due_meanwhile_has_no_next_run_in_the_past(
    server: CannedServer, run: Run
) -> None:
    server.on("POST", "/jobs", Canned(a_job(next_run_at="2026-01-01T00:00:00Z")))

    result = run("job", "create", "hello", "--command", "date", "--every", "5s")

    assert "Next run due now, " in result.stdout
    assert "ago" not in result.stdout


def test_a_misspelt_job_is_not_taken_for_one_that_never_ran(server: CannedServer, run: Run) -> None:
    server.on("GET", "/runs", Canned({"items": [], "next_cursor": None}))
    missing = problem(404, code="job_not_found", detail="There is no job 'helo'.")
    server.on("GET", "/jobs/helo", missing)

    result = run("run", "list", "--job", "helo")

    assert "No runs." in result.stderr
    assert "There is no job 'helo'." in result.stderr


def test_pause_and_resume_send_their_words(server: CannedServer, run: Run) -> None:
    paused_job = a_job(state="paused", paused=BROKEN, version=4)
    server.on("GET", "/jobs/hello", Canned(a_job(version=3)), Canned(paused_job))
    server.on("POST", "/jobs/hello/pause", Canned(paused_job))
    server.on("POST", "/jobs/hello/resume", Canned(a_job(version=5)))

    paused = run("job", "pause", "hello", "--reason", "why")
    resumed = run("job", "resume", "hello", "--on-missed", "last")

    assert [request.body for request in server.requests if request.method == "POST"] == [
        {"reason": "why"},
        {"on_missed": "last"},
    ]
    assert paused.stdout == "Paused hello: paused by admin: broken.\n"
    assert resumed.stdout.startswith("Resumed hello: At 02:30. Next run in ")


def test_deleting_asks_for_yes_where_nobody_can_answer(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))

    result = run("job", "delete", "hello")

    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert "DELETE" not in {request.method for request in server.requests}


def test_delete_sends_the_version_and_whether_to_purge(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello", Canned(a_job(), headers=VERSION_3))
    server.on("DELETE", "/jobs/hello", Canned(None, 204))

    result = run("job", "delete", "hello", "--purge", "--yes")

    assert result.exit_code == 0
    assert server.requests[1].query == {"purge": "true"}
    assert server.requests[1].headers["If-Match"] == '"3"'


def test_a_preview_sends_the_schedule_and_prints_what_it_means(
    server: CannedServer, run: Run
) -> None:
    fire = {"at": "2026-03-08T07:00:00Z", "local": "2026-03-08T08:00:00+01:00", "dst": None}
    preview = {"description": "Every 5 minutes", "fires": [fire], "warnings": ["Often."]}
    server.on("POST", "/schedules/preview", Canned(preview))

    result = run(
        "schedule", "preview", "*/5 9-17 * * MON-FRI", "--timezone", "Europe/Paris", "--count", "3"
    )

    assert server.requests[0].body == {
        "schedule": {"cron": "*/5 9-17 * * MON-FRI", "timezone": "Europe/Paris"},
        "count": 3,
    }
    assert result.stdout.startswith("Every 5 minutes\n")
    assert "CLOCKS" not in result.stdout
    assert "Often." in result.stderr


def test_job_names_are_completed_from_the_server(
    server: CannedServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.on("GET", "/jobs", page(a_job(name="nightly"), a_job(name="not-midnight")))

    names = complete(monkeypatch, run, "jobs-app job show ni")

    assert names == ["nightly"]


def test_completion_without_a_server_is_silent(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_URL", "http://127.0.0.1:1")

    assert complete(monkeypatch, run, "jobs-app job show ni") == []


def complete(monkeypatch: pytest.MonkeyPatch, run: Run, typed: str) -> list[str]:
    """Return what bash would offer for the last word of *typed*."""
    monkeypatch.setenv("_JOBS_APP_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", typed)
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))

    result = run()

    assert result.stderr == ""
    return [line.partition(",")[2] for line in result.stdout.split()]


def test_a_setting_that_is_wrong_is_a_sentence_and_code_2(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_TIMEZONE", "Mars/Olympus")

    result = run("web", "--port", "99999999")

    assert result.exit_code == 2
    assert "JOBS_PORT must be at most 65535." in result.stderr
    assert "JOBS_TIMEZONE is refused: 'Mars/Olympus' is not an IANA time zone." in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "filters, sentence", [([], "No jobs. Create one"), (["--q", "x"], "No job is like that.")]
)
def test_a_list_without_jobs_offers_to_create_one_only_if_there_is_none(
    server: CannedServer, run: Run, filters: list[str], sentence: str
) -> None:
    server.on("GET", "/jobs", page())

    assert sentence in run("job", "list", *filters).stderr
