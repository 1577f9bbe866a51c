"""The time zone in front of a cron expression."""

import pytest

from jobs_app.schedules.cron_timezone import divide


@pytest.mark.parametrize(
    "text, zone, rest",
    [
        ("TZ=Europe/Paris 0 5 * * *", "Europe/Paris", "0 5 * * *"),
        ("CRON_TZ=Asia/Tokyo @daily", "Asia/Tokyo", "@daily"),
        (" cron_tz = Asia/Tokyo\t0 5 * * *", "Asia/Tokyo", "0 5 * * *"),
        ('TZ="America/New_York" 0 5 * * *', "America/New_York", "0 5 * * *"),
        ("TZ=':Etc/GMT+5' 0 5 * * *", "Etc/GMT+5", "0 5 * * *"),
        ("CRON_TZ=UTC\n0 5 * * *", "UTC", "0 5 * * *"),
        # Not a zone in front of an expression: left for the sentences about cron fields.
        ("0 5 * * *", None, "0 5 * * *"),
        ("TZ= 0 5 * * *", None, "TZ= 0 5 * * *"),
        ("TZ=UTC", None, "TZ=UTC"),
        ("TZ='UTC 0 5 * * *", None, "TZ='UTC 0 5 * * *"),
        ("MAILTO=ops 0 5 * * *", None, "MAILTO=ops 0 5 * * *"),
        ("XTZ=UTC 0 5 * * *", None, "XTZ=UTC 0 5 * * *"),
    ],
)
def test_a_zone_is_divided_from_its_expression(text: str, zone: str | None, rest: str) -> None:
    assert divide(text) == (zone, rest)
