"""`jobs-app import beat`, against the real API."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import _state
from click.testing import Result

Run = Callable[..., Result]

SHOP = """\
from datetime import timedelta
from celery import Celery, current_app
from celery.schedules import crontab

print("imported")
app = Celery("shop", set_as_current=False)
app.conf.timezone = "Europe/Paris"
app.conf.beat_schedule = {
    "Nightly report": {"task": "sleep", "schedule": crontab(30, 2), "args": [5]},
    "sync": {
        "task": "sleep",
        "schedule": timedelta(minutes=5),
        "kwargs": {"duration": 3},
        "options": {"queue": "slow", "priority": 2, "expires": 60},
    },
    "friday-13": {
        "task": "sleep", "schedule": crontab(0, 0, day_of_month=13, day_of_week=5), "args": [1],
    },
    "unknown": {"task": "slepp", "schedule": 30.0},
    "cleanup": {"task": "celery.backend_cleanup", "schedule": crontab(0, 4)},
    "often": {"task": "sleep", "schedule": 0.5, "args": [1]},
}

@app.on_after_finalize.connect
def setup(sender, **_):
    monday = crontab(0, 9, day_of_month="1-7", day_of_week="mon")
    sender.add_periodic_task(monday, sender.signature("sleep", (7,)))

current_app.conf.beat_schedule = {"from-current": {"task": "sleep", "schedule": 60, "args": [2]}}
"""

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of the user; Celery's current application is as before afterwards."""
    state: Any = _state
    current, default = state._tls.current_app, state.default_app
    (tmp_path / "beat_shop.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    yield "beat_shop"
    sys.modules.pop("beat_shop", None)
    state._tls.current_app, state.default_app = current, default


@pytest.fixture
def do(run: Run, module: str) -> Run:
    def do(*options: str) -> Result:
        sys.modules.pop(module, None)
        return run("import", "beat", module, *options)

    return do


def jobs(run: Run) -> dict[str, Any]:
    items = json.loads(run("job", "list", "--all", "--json").stdout)["items"]
    return {item["name"]: item for item in items}


def entries(result: Result) -> dict[str, Any]:
    sources = json.loads(result.stdout)["sources"]
    lines = [line for source in sources for line in source["lines"]]
    return {line["text"].partition(":")[0]: line for line in lines}


def test_each_entry_becomes_a_job_with_the_meaning_that_beat_gives_it(run: Run, do: Run) -> None:
    result = do("--yes")

    assert result.exit_code == 1, result.output
    assert "Created 4 jobs, changed 0, kept 0. 3 entries were refused." in result.stdout
    assert "imported" not in result.stdout
    made = jobs(run)
    assert made.keys() == {"nightly-report", "sync", "sleep-7", "from-current"}
    report = made["nightly-report"]
    assert (report["task"], report["kwargs"]) == ("sleep", {"duration": 5})
    assert (report["schedule"]["cron"], report["schedule"]["timezone"]) == (
        "30 2 * * *",
        "Europe/Paris",
    )
    assert report["origin"] == "beat beat_shop"
    sync = made["sync"]
    assert (sync["queue"], sync["priority"]) == ("slow", 2)
    assert sync["schedule"]["interval_seconds"] == 300
    assert made["sleep-7"]["schedule"]["cron"] == "0 9 * * 1#1"
    assert (report["time_limit_seconds"], report["overlap_policy"]) == (None, "skip")
    # The scheduler starts the entries of Celery's current application by itself.
    assert {name for name, job in made.items() if job["state"] == "paused"} == {"from-current"}


def test_a_second_import_changes_nothing(run: Run, do: Run) -> None:
    do("--yes", "--like-beat", "--tag", "shop")
    before = jobs(run)

    second = do("--yes", "--json", "--like-beat", "--tag", "shop")

    actions = [line["action"] for line in entries(second).values() if line["name"]]
    assert actions == ["keep"] * 4
    assert jobs(run) == before
    assert before["sync"]["time_limit_seconds"] is None
    assert (before["sync"]["overlap_policy"], before["sync"]["tags"]) == ("allow_all", ["shop"])


def test_a_changed_entry_changes_its_job_and_what_people_set_on_it_stays(
    run: Run, do: Run, tmp_path: Path
) -> None:
    do("--yes")
    run("job", "edit", "nightly-report", "--time-limit", "2h")
    text = SHOP.replace('crontab(30, 2), "args": [5]', 'crontab(45, 3), "args": [6]')
    (tmp_path / "beat_shop.py").write_text(text.replace('"sync"', '"other"') + "# Changed.\n")

    result = do("--yes", "--json")

    assert entries(result)["Nightly report"]["action"] == "change"
    report = jobs(run)["nightly-report"]
    assert (report["schedule"]["cron"], report["kwargs"]) == ("45 3 * * *", {"duration": 6})
    assert report["time_limit_seconds"] == 7200
    # Found by its arguments and its schedule: the name in the code changed, not the job.
    assert entries(result)["other"]["name"] == "sync"


def test_the_report_says_what_is_refused_and_what_is_not_as_in_beat(do: Run) -> None:
    result = do("--dry-run")

    report = result.stdout
    assert "Nothing was changed." in result.stderr
    for words in (
        "REFUSED: It fires on days that match both",
        "REFUSED: The server has no task 'slepp'. Did you mean 'sleep'?",
        "What helps: Name the module of the task in JOBS_IMPORTS",
        "REFUSED: An interval of 0.5 s",
        "left out: Celery adds it by itself",
        "Not as in beat: Its option expires (60) is not followed",
        "Not as in beat: Its priority is 2: 0 is served first here",
        "Not as in beat: The scheduler of jobs-app starts it already",
    ):
        assert words in report
    general = report.partition("Not as in beat, for all")[2]
    for words in (
        "--like-beat: both run",
        "skipped while",
        "After an outage",
        "drifts",
        "skipped an hour",
    ):
        assert words in general


def test_job_import_has_an_option_that_does_the_same(run: Run, module: str) -> None:
    dry = run("job", "import", "--from-beat", module, "--dry-run", "--json")

    assert entries(dry)["Nightly report"]["action"] == "create"
    assert run("job", "import", "--from-beat", module, "--observe", "--yes").exit_code == 1
    assert all(job["observe"] for job in jobs(run).values())
    assert run("job", "import").exit_code == 2
    assert run("job", "import", "x.yaml", "--from-beat", module).exit_code == 2
    assert "goes with --from-beat" in run("job", "import", "x.yaml", "--observe").stderr


def test_a_function_of_the_user_that_fails_is_an_entry_that_is_refused(
    run: Run, module: str, tmp_path: Path
) -> None:
    failing = SHOP.replace("    monday = ", "    raise KeyError('SHOP_HOME')\n    monday = ")
    (tmp_path / "beat_shop.py").write_text(failing)

    result = run("import", "beat", module, "--dry-run")

    assert result.exit_code == 1
    assert "setup: a function that waits for the application" in result.stdout
    assert "REFUSED: It raises KeyError: 'SHOP_HOME'" in result.stdout
    assert "nightly-report" in result.stdout


def test_the_modules_are_by_default_those_of_the_settings(
    run: Run, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_IMPORTS", module)
    from_settings = run("import", "beat", "--dry-run", "--json")
    monkeypatch.setenv("JOBS_WORKER_CONCURRENCY", "many")
    wrong = run("import", "beat", "--dry-run")

    assert "Nightly report" in entries(from_settings)
    assert wrong.exit_code == 2
    assert "JOBS_WORKER_CONCURRENCY" in wrong.stderr


def test_a_module_that_cannot_be_imported_is_named(run: Run, module: str) -> None:
    missing = run("import", "beat", "beat_shop_of_nobody")

    assert missing.exit_code == 2
    assert "'beat_shop_of_nobody' cannot be imported" in missing.stderr
    assert "Start the command in the directory that has it" in missing.stderr
    assert run("import", "beat").exit_code == 2


def test_all_tasks_can_be_sent_to_the_workers_that_have_them(run: Run, do: Run) -> None:
    run("secret", "set", "shop-broker", "--from", "-", stdin="redis://redis.example/0")
    result = do("--send-to", "shop-broker", "--results-from", "rpc://", "--yes")

    assert "REFUSED: The server has no task" not in result.stdout
    assert "0 is served first here" not in result.stdout
    assert "With --results-from it waits for the task" in result.stdout
    made = jobs(run)
    assert {job["task"] for job in made.values()} == {"celery"}
    servers = {"broker": "${secret:shop-broker}", "result_backend": "rpc://"}
    report, sync = made["nightly-report"], made["sync"]
    assert report["kwargs"] == {"task": "sleep", "args": [5], **servers}
    assert (report["schedule"]["cron"], report["queue"]) == ("30 2 * * *", "default")
    assert sync["kwargs"] == {
        "task": "sleep",
        "kwargs": {"duration": 3},
        "queue": "slow",
        "priority": 2,
        **servers,
    }
    assert (sync["queue"], made["unknown"]["kwargs"]["task"]) == ("default", "slepp")
    again = do("--send-to", "${secret:shop-broker}", "--results-from", "rpc://", "--yes", "--json")
    actions = {line["action"] for line in entries(again).values() if line["name"]}
    assert actions == {"keep"}


@pytest.mark.parametrize(
    "options, words",
    [
        (("--send-to", "redis://x/0"), "--send-to takes the name of a secret"),
        (
            ("--send-to", "a", "--results-from", "redis://x/0"),
            "--results-from takes the name of a secret",
        ),
        (("--results-from", "a"), "--results-from goes with --send-to"),
    ],
)
def test_a_url_in_place_of_a_secret_is_refused(do: Run, options: list[str], words: str) -> None:
    result = do(*options)

    assert result.exit_code == 2
    assert words in result.stderr
    assert "redis://x" not in result.stderr


def test_a_time_limit_is_named_only_at_the_jobs_that_differ_from_beat(
    run: Run, do: Run, tmp_path: Path
) -> None:
    do("--yes")
    run("job", "edit", "nightly-report", "--time-limit", "2h")
    text = SHOP.replace('"args": [5]', '"args": [6]').replace(
        '"options": {"queue"', '"options": {"time_limit": 20, "queue"'
    )
    (tmp_path / "beat_shop.py").write_text(text + "# Changed.\n")

    lines = entries(do("--dry-run", "--json"))
    general = do("--dry-run").stdout.partition("Not as in beat, for all")[2]

    sentence = "A run is ended at its time limit, 2 h 0 min (--like-beat: no limit)."
    assert sentence in lines["Nightly report"]["differences"]
    # The entry itself has it.
    assert lines["sync"]["action"] == "change"
    assert "time limit" not in str(lines["sync"]["differences"])
    assert "time limit" not in general


def test_an_unchanged_entry_leaves_its_job_as_people_have_edited_it(
    run: Run, do: Run, tmp_path: Path
) -> None:
    do("--yes", "--like-beat")
    run("job", "edit", "nightly-report", "--cron", "0 5 * * *", "--overlap", "skip")
    before = jobs(run)

    again = do("--dry-run", "--json", "--like-beat")
    (tmp_path / "beat_shop.py").write_text(
        SHOP.replace('crontab(30, 2), "args": [5]', 'crontab(30, 2), "args": [6]') + "# Changed.\n"
    )
    changed = entries(do("--yes", "--json", "--like-beat"))["Nightly report"]
    report = jobs(run)["nightly-report"]

    line = entries(again)["Nightly report"]
    assert (line["action"], before["nightly-report"]["overlap_policy"]) == ("keep", "skip")
    assert "that stays, except where the entry has changed since" in line["note"]
    assert changed["action"] == "change"
    assert (report["schedule"]["cron"], report["kwargs"]) == ("0 5 * * *", {"duration": 6})
    assert report["overlap_policy"] == "skip"
    # The entry goes back to what it was: that is a change, too.
    (tmp_path / "beat_shop.py").write_text(SHOP + "# Changed again.\n")
    do("--yes", "--like-beat")
    report = jobs(run)["nightly-report"]
    assert (report["schedule"]["cron"], report["kwargs"]) == ("0 5 * * *", {"duration": 5})


def test_a_module_whose_own_dependency_is_missing_says_what_it_needs(
    run: Run, module: str, tmp_path: Path
) -> None:
    (tmp_path / "beat_shop.py").write_text("import numpy_not_there\n")

    result = run("import", "beat", module)

    assert "A module needs 'numpy_not_there', which this environment does not have" in result.stderr
    assert "Start the command in the directory" not in result.stderr


def test_the_tasks_of_another_environment_come_as_json_of_a_script(
    run: Run, do: Run, tmp_path: Path, module: str
) -> None:
    """The same jobs come of it as of the module, so that either import keeps the other's jobs."""
    (tmp_path / "dump.py").write_text(run("import", "beat", "--print-script").stdout)
    dumped = subprocess.run(
        [sys.executable, "dump.py", module], cwd=tmp_path, capture_output=True, check=True
    )
    file = tmp_path / "beat.json"
    file.write_bytes(dumped.stdout)

    result = run("import", "beat", "--from-json", str(file), "--yes")
    again = entries(do("--yes", "--json"))

    assert "Created 4 jobs, changed 0, kept 0. 3 entries were refused." in result.stdout
    assert {name: line["action"] for name, line in again.items() if line["action"]} == {
        "Nightly report": "keep",
        "sync": "keep",
        "friday-13": "refuse",
        "unknown": "refuse",
        "often": "refuse",
        "sleep(7)": "keep",
        "from-current": "keep",
    }


def test_json_that_is_none_of_the_script_is_a_wrong_call(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "beat.json"
    file.write_text("Traceback (most recent call last):")

    wrong = run("import", "beat", "--from-json", str(file), "--yes")
    both = run("import", "beat", "shop", "--from-json", str(file), "--yes")
    missing = run("import", "beat", "--from-json", "nowhere.json", "--yes")

    assert (wrong.exit_code, both.exit_code, missing.exit_code) == (2, 2, 2)
    assert "nowhere.json cannot be read: No such file or directory." in missing.stderr
    assert "cannot be read. It is no JSON. Run the script of" in wrong.stderr
    assert "--from-json takes the place of MODULEs" in both.stderr
