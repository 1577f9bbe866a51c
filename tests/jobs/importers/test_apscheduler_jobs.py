"""The rows of a store become entries, with the ways that APScheduler treats their runs."""

from datetime import UTC, datetime
from typing import Any

import pytest

from jobs_app.jobs.importers.apscheduler_jobs import entries_of, entry_of, task_of
from jobs_app.jobs.importers.apscheduler_pickles import Stored, read_state
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry
from tests.jobs.importers.apscheduler_states import ROWS, TRIGGERS

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)


def test_each_row_is_an_entry() -> None:
    rows = [{"id": job_id, "job_state": state} for job_id, _, state in ROWS]

    entries = {entry.key: entry for entry in entries_of(rows, at=AT)}

    assert entries.keys() == {job_id for job_id, *_ in ROWS}
    nightly = entries["nightly"]
    assert (nightly.task, nightly.args) == ("shop_jobs.t", (5,))
    assert nightly.timing is not None
    assert nightly.timing.schedule == {"cron": "30 2 * * *"}
    assert nightly.fields == {"overlap_policy": "skip", "catchup_policy": "none"}
    assert "OrTrigger" in entries["either"].problem
    assert [key for key, entry in entries.items() if entry.is_paused] == ["off"]


def entry(job_id: str = "a", **changes: Any) -> PeriodicEntry:
    return entry_of(job_id, read_state(TRIGGERS[0][1]) | changes, at=AT)


def test_overlap_and_lateness_are_those_of_the_source() -> None:
    several = entry(max_instances=3, misfire_grace_time=None, coalesce=False, executor="pool")
    late = entry(misfire_grace_time=300)
    newest = entry(misfire_grace_time=None)

    assert several.fields == {"overlap_policy": "allow_all", "catchup_policy": "all"}
    assert [text.split()[0:2] for text in several.differences] == [
        ["max_instances", "is"],
        ["It", "has"],
        ["Its", "executor"],
    ]
    assert late.fields["starting_deadline_seconds"] == 300
    assert newest.fields["catchup_policy"] == "last"


def test_a_job_is_named_by_its_id_unless_that_was_drawn() -> None:
    drawn = "0123456789abcdef" * 2

    assert entry("nightly", name="report").key == "nightly"
    assert entry(drawn, name="Nightly report").key == "Nightly report"
    assert entry(drawn, name="").key == drawn


def test_a_time_that_has_passed_is_refused() -> None:
    trigger = Stored()
    trigger.kind, trigger.state = "DateTrigger", {"run_date": AT}

    assert "has passed" in entry(trigger=trigger).problem


def test_a_row_without_a_state_is_refused() -> None:
    rows = [{"id": "a", "job_state": state} for state in (None, "text", b"")]

    assert [bool(made.problem) for made in entries_of(rows, at=AT)] == [True] * 3


def test_a_function_is_the_task_that_celery_makes_of_it() -> None:
    assert task_of("shop.jobs:report") == "shop.jobs.report"
    for reference in (None, "report", "a:b:c"):
        with pytest.raises(Refused, match="names no function"):
            task_of(reference)
