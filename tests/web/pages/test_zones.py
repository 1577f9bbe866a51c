"""Instants and durations of the pages."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from jobs_app.web.pages.zones import duration, exact, short

PARIS = ZoneInfo("Europe/Paris")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "seconds, text",
    [
        (None, "–"),
        (0, "0 ms"),
        (0.85, "850 ms"),
        (0.9999, "1000 ms"),
        (3.2, "3.2 s"),
        (59.97, "1 min"),
        (59.4, "59 s"),
        (252, "4 min 12 s"),
        (7500, "2 h 05 min"),
        (7200, "2 h"),
        (86_399.9, "1 d"),
        (259_200, "3 d"),
        (270_000, "3 d 3 h"),
        (8_640_000, "100 d"),
    ],
)
def test_a_duration_has_its_units(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_an_exact_time_names_its_zone() -> None:
    assert exact(NOW, PARIS) == "Mon 23 Nov 2026 13:00 CET"
    assert exact(None, PARIS) == "–"


@pytest.mark.parametrize(
    "instant, text",
    [
        (datetime(2026, 11, 23, 1, 30, tzinfo=UTC), "02:30"),
        (datetime(2026, 11, 24, 1, 30, tzinfo=UTC), "Tue 02:30"),
        (datetime(2026, 11, 1, 1, 30, tzinfo=UTC), "1 Nov 02:30"),
        (datetime(2025, 11, 1, 1, 30, tzinfo=UTC), "1 Nov 2025"),
    ],
)
def test_a_short_time_has_what_tells_it_from_others(instant: datetime, text: str) -> None:
    assert short(instant, PARIS, at=NOW) == text
