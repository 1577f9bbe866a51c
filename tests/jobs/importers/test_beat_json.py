"""JSON that the script has not written is refused with a sentence."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs_app.jobs.importers.beat_json import read_dump

AT = datetime(2026, 11, 30, 9, 41, 7, tzinfo=UTC)

APP = {
    "name": "shop",
    "home": "shop.celery",
    "timezone": "Europe/Paris",
    "beat_scheduler": "celery.beat:PersistentScheduler",
    "beat_cron_starting_deadline": None,
}


def dump(**entries: Any) -> bytes:
    apps = [{**APP, "entries": entries}]
    return json.dumps({"beat_dump": 1, "apps": apps, "failures": []}).encode()


@pytest.mark.parametrize(
    "text, words",
    [
        (b"", "no JSON"),
        (b"Traceback (most recent call last):", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "has not written it"),
        (b'{"beat_dump": 2}', "has not written it"),
        (b'{"beat_dump": 1}', "like this"),
        (b'{"beat_dump": 1, "apps": [{}], "failures": []}', "like this"),
        (b'{"beat_dump": 1, "apps": [3], "failures": []}', "like this"),
        (b"[" * 100_000, "no JSON"),
        (dump(a={"task": "t"}), "like this"),
        (dump(a={"task": "t", "schedule": {"type": "moon"}}), "like this"),
    ],
)
def test_other_texts_are_refused(text: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_dump(text, at=AT)


def test_a_crontab_of_django_celery_beat_keeps_its_own_zone() -> None:
    fields = {"minute": 0, "hour": 9, "day_of_month": "*", "month_of_year": "*", "day_of_week": "*"}
    zoned = {"type": "crontab", "fields": fields, "zone": "Asia/Tokyo", "now": None}

    (app,) = read_dump(dump(a={"task": "t", "schedule": zoned}), at=AT)

    (entry,) = app.entries
    assert entry.timing is not None
    assert (entry.timing.schedule, entry.timing.timezone) == ({"cron": "0 9 * * *"}, "Asia/Tokyo")
    assert app.timezone == "Europe/Paris"


def test_a_file_with_a_byte_order_mark_is_read() -> None:
    assert read_dump(b"\xef\xbb\xbf" + dump(), at=AT)[0].entries == []


def test_a_solar_schedule_is_refused() -> None:
    (app,) = read_dump(dump(a={"task": "t", "schedule": {"type": "solar"}}), at=AT)

    assert "follows the sun" in app.entries[0].problem
