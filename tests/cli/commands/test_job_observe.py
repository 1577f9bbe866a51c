"""Jobs that only watch: `job observe` and `job activate`, against the real API."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from jobs_app.cli.commands.job_observe import observation_text

Run = Callable[..., Result]

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture
def make(run: Run) -> Callable[..., None]:
    def make(name: str, *options: str) -> None:
        command = ("--command", "true", "--cron", "0 3 * * *", "--timezone", "UTC")
        result = run("job", "create", name, *command, *options)
        assert result.exit_code == 0, result.stderr

    return make


def job(run: Run, name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(run("job", "show", name, "--json").stdout)
    return read


def test_a_job_is_made_to_watch_by_an_option(run: Run, make: Callable[..., None]) -> None:
    make("backup", "--observe")
    shown, listed = run("job", "show", "backup"), run("job", "list")

    run("job", "edit", "backup", "--no-observe")

    assert "active; it only watches since 20" in shown.stdout
    assert "observing" in listed.stdout
    assert job(run, "backup")["observe"] is False


def test_all_that_watch_are_activated_with_what_they_observed_and_fire_next(
    run: Run, make: Callable[..., None]
) -> None:
    for name in ("a", "b"):
        make(name, "--observe")
    make("c")

    dry = run("job", "activate", "--all-observing", "--dry-run")
    watching = job(run, "a")["observe"]
    done = run("job", "activate", "--all-observing")
    again = run("job", "activate", "--all-observing")

    assert dry.exit_code == 0
    assert "Would activate a: At 03:00 every day, UTC. Next run " in dry.stdout
    # A line for each job, and what it has observed: no tables of fires that stay.
    assert len(dry.stdout.splitlines()) == 4
    assert dry.stderr.endswith("Nothing was changed.\nWould activate 2 jobs.\n")
    assert watching is True
    for name in ("a", "b"):
        assert f"Activated {name}: At 03:00 every day, UTC. Next run " in done.stdout
        assert job(run, name)["observe"] is False
    assert "fires expected, 0 observed." in done.stdout
    assert "Activated c" not in done.stdout
    assert done.stderr.endswith("Activated 2 jobs.\n")
    assert "No job only watches" in again.stderr


def test_jobs_are_chosen_by_name_or_tag_and_those_that_are_so_already_say_it(
    run: Run, make: Callable[..., None]
) -> None:
    make("a", "--tag", "web1")
    make("b")

    observed = run("job", "observe", "--tag", "web1")
    again = run("job", "observe", "a")
    not_watching = run("job", "activate", "b")
    both = run("job", "activate", "a", "--all-observing")

    assert "Observes a: At 03:00 every day, UTC. It only watches since 20" in observed.stdout
    assert "it is observed, not run" in observed.stdout
    assert (again.stdout, again.stderr) == ("", "a only watches already: nothing was changed.\n")
    assert "b does not only watch: nothing was changed." in not_watching.stderr
    assert (both.exit_code, "takes no names" in both.stderr) == (2, True)
    assert job(run, "a")["observe"] is True


def test_what_was_observed_is_a_sentence() -> None:
    seen = {"begin": "2026-06-01T00:00:00Z", "expected": 1, "observed": 1200, "missed": 0}

    assert ": 1 fire expected, 1,200 observed." in observation_text(seen)
    assert "1,200 observed, 2 missed: no scheduler was there in time." in observation_text(
        seen | {"missed": 2}
    )
