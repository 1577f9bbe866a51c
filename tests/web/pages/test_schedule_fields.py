"""The schedules of a job as texts of a form, and back: one block of controls for each."""

from typing import Any

import pytest

from jobs_app.core.errors import FieldError
from jobs_app.web.pages.schedule_fields import (
    added,
    at_controls,
    compact,
    count,
    removed,
    schedules_from,
    texts_of,
    zone_of,
)

PARIS = {"timezone": "Europe/Paris"}
WEEKDAYS = {"cron": "0 9 * * 1-5", **PARIS}
ONCE = {"at": "2026-12-01T08:00:00Z", "timezone": "Asia/Tokyo"}
OFTEN = {"interval_seconds": 900, "jitter_seconds": 30}
ON_START = {"on": "start", **PARIS}
TWO_WEEKS = {"every": "2 weeks", "anchor_at": "2026-12-01T08:00:00Z", **PARIS}


@pytest.mark.parametrize(
    "document",
    [
        {"schedule": None},
        {"schedule": WEEKDAYS},
        {"schedules": [WEEKDAYS, ONCE]},
        {"schedules": [TWO_WEEKS, OFTEN, WEEKDAYS]},
        {"schedule": ON_START},
        {"schedules": [WEEKDAYS, ON_START]},
    ],
)
def test_schedules_come_back_from_their_texts(document: dict[str, Any]) -> None:
    texts = texts_of(document, zone="America/New_York")

    assert schedules_from(texts) == (document, [])


def test_an_instant_is_shown_in_the_zone_of_its_own_schedule() -> None:
    texts = texts_of({"schedules": [WEEKDAYS, ONCE]}, zone="UTC")

    assert texts["/schedules/1/at"] == "2026-12-01T17:00"
    assert zone_of({"schedules": [ONCE, WEEKDAYS]}, "UTC") == "Asia/Tokyo"
    assert zone_of({"schedule": None}, "UTC") == "UTC"


def test_a_schedule_is_added_in_the_zone_of_the_first_one() -> None:
    texts = added(texts_of({"schedule": WEEKDAYS}, zone="UTC"), zone="UTC")
    texts |= {"/schedules/1/cron": "@daily"}

    assert count(texts) == 2
    assert texts["zone:/schedules/1/at"] == "Europe/Paris"
    assert schedules_from(texts)[0] == {"schedules": [WEEKDAYS, {"cron": "@daily", **PARIS}]}


def test_a_job_that_runs_by_hand_gets_two_schedules_to_fill_in() -> None:
    _, errors = schedules_from(added(texts_of({"schedule": None}, zone="UTC"), zone="UTC"))

    assert [error.pointer for error in errors] == ["/schedule/cron", "/schedules/1/cron"]


def test_no_more_than_twenty_are_added() -> None:
    texts = {"/schedule": "cron"} | {f"/schedules/{index}": "cron" for index in range(1, 20)}

    assert count(texts) == count(added(texts, zone="UTC")) == 20


@pytest.mark.parametrize(
    "index, rest", [(0, [ONCE, OFTEN]), (1, [WEEKDAYS, OFTEN]), (2, [WEEKDAYS, ONCE])]
)
def test_a_schedule_is_removed_with_all_of_its_controls(index: int, rest: list[Any]) -> None:
    texts = texts_of({"schedules": [WEEKDAYS, ONCE, OFTEN]}, zone="UTC")

    left = removed(texts | {"/name": "a"}, index)

    assert schedules_from(left)[0] == {"schedules": rest}
    assert left == texts_of({"schedules": rest}, zone="UTC") | {"/name": "a"}
    assert schedules_from(removed(removed(left, 1), 0))[0] == {"schedule": rest[0]}


def test_gaps_in_the_numbers_are_closed() -> None:
    sent = {"/schedule": "cron", "/schedules/4": "at", "zone:/schedules/4/at": "UTC"}

    assert compact(sent) == {
        "/schedule": "cron",
        "/schedules/1": "at",
        "zone:/schedules/1/at": "UTC",
    }


def test_by_hand_only_goes_with_no_other_schedule() -> None:
    texts = texts_of({"schedules": [WEEKDAYS, ONCE]}, zone="UTC") | {"/schedule": "manual"}

    _, (error,) = schedules_from(texts)

    assert error.pointer == "/schedule"
    assert "goes with no other schedule" in error.detail


def test_errors_of_the_first_schedule_are_where_the_form_has_it() -> None:
    pointers = ["/schedules/0/cron", "/schedules/0", "/schedules/1/cron", "/schedules", "/queue"]

    moved = at_controls([FieldError(pointer, "x", "x") for pointer in pointers])

    assert [error.pointer for error in moved] == [
        *("/schedule/cron", "/schedule", "/schedules/1/cron", "/schedules", "/queue")
    ]


@pytest.mark.parametrize("value", ["x", 1, [1, "x"], {"a": 1}])
def test_what_is_no_schedule_is_shown_as_none(value: Any) -> None:
    for document in ({"schedules": value}, {"schedule": value}):
        assert texts_of(document, zone="UTC")["/schedule"] == "manual"


def test_a_schedule_on_start_leaves_out_the_window_that_its_form_does_not_show() -> None:
    texts = texts_of({"schedule": WEEKDAYS | {"start_at": "2026-12-01T08:00:00Z"}}, zone="UTC")

    assert schedules_from(texts | {"/schedule": "on"}) == ({"schedule": ON_START}, [])
