"""The schedules of a document: read, with their anchors, and checked."""

from dataclasses import replace
from typing import Any

import pytest

from jobs_app.core.errors import InvalidInput
from jobs_app.core.settings import Settings
from jobs_app.jobs.schedule_input import (
    schedule_errors,
    schedule_from,
    schedules_from,
    with_anchors,
)
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules, parts_of
from tests.factories import DAY, HOUR, NOON

SETTINGS = Settings(timezone="America/New_York")
DAILY, HOURLY = {"cron": "@daily"}, {"interval_seconds": 3600}


@pytest.mark.parametrize(
    "cron, sentence",
    [
        ("TZ=Asia/Tokyo @daily", "begins with Asia/Tokyo, but timezone is Europe/Paris"),
        ("TZ=Asia/Tokio @daily", "There is no time zone 'Asia/Tokio'; did you mean Asia/Tokyo?"),
    ],
)
def test_a_zone_that_contradicts_or_does_not_exist_is_refused(cron: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        schedule_from({"cron": cron, "timezone": "Europe/Paris"}, SETTINGS)

    assert [error.pointer for error in caught.value.errors] == ["/cron"]


@pytest.mark.parametrize(
    "document, count",
    [
        ({}, 0),
        ({"schedule": None}, 0),
        ({"schedule": None, "schedules": []}, 0),
        ({"schedule": DAILY}, 1),
        ({"schedules": [DAILY]}, 1),
        ({"schedule": DAILY, "schedules": [DAILY, HOURLY]}, 2),
    ],
)
def test_a_document_has_its_schedules_in_either_field(document: Any, count: int) -> None:
    schedules = parts_of(schedules_from(document, SETTINGS, seed="a"))

    assert [one.timezone for one in schedules] == ["America/New_York"] * count
    assert {one.seed for one in schedules} <= {"a"}


@pytest.mark.parametrize(
    "document",
    [
        {"schedule": None, "schedules": [DAILY]},
        {"schedule": DAILY, "schedules": []},
        {"schedule": HOURLY, "schedules": [DAILY, HOURLY]},
        {"schedule": DAILY | {"jitter_seconds": 1}, "schedules": [DAILY]},
    ],
)
def test_fields_that_disagree_are_refused(document: Any) -> None:
    with pytest.raises(InvalidInput, match="disagree: send one of them"):
        schedules_from(document, SETTINGS)


EVERY_HOUR = Schedule(interval_seconds=3600)
EVERY_DAY = Schedule(every="1 day")


def test_an_interval_keeps_the_anchor_of_the_same_interval() -> None:
    present = Schedules(
        (replace(EVERY_DAY, anchor_at=NOON - DAY), replace(EVERY_HOUR, anchor_at=NOON - HOUR))
    )
    new = Schedule(interval_seconds=60)

    anchored = with_anchors(Schedules((EVERY_HOUR, new, EVERY_DAY)), present, at=NOON)
    alone = with_anchors(EVERY_HOUR, present, at=NOON)

    anchors = [part.anchor_at for part in parts_of(anchored)]
    assert anchors == [NOON - HOUR, NOON, NOON - DAY]
    assert alone == replace(EVERY_HOUR, anchor_at=NOON - HOUR)


def test_an_only_interval_keeps_the_anchor_of_an_only_one() -> None:
    present = replace(EVERY_DAY, anchor_at=NOON - DAY)

    assert with_anchors(EVERY_HOUR, present, at=NOON) == replace(EVERY_HOUR, anchor_at=NOON - DAY)
    assert with_anchors(EVERY_HOUR, None, at=NOON) == replace(EVERY_HOUR, anchor_at=NOON)


def test_what_the_job_has_is_not_checked_again() -> None:
    passed, wrong = Schedule(at=NOON - HOUR, seed="a"), Schedule(cron="61 * * * *")
    present = Schedules((replace(passed, seed="b"), EVERY_HOUR))

    errors = list(schedule_errors(Schedules((passed, wrong)), present, now=NOON))
    without_present = list(schedule_errors(passed, None, now=NOON))

    assert [error.pointer for error in errors] == ["/schedules/1/cron"]
    assert [error.pointer for error in without_present] == ["/schedule/at"]
