"""Times as people type them."""

import time
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from jobs_app.schedules.typed_time import instant_of, named, parse, real_instant, skipped_note

PARIS = ZoneInfo("Europe/Paris")
#: 09:30 in Paris.
NOW = datetime(2026, 11, 29, 8, 30, tzinfo=UTC)

# What is typed; the local time in Paris that it means looking back, and looking ahead.
TIMES = {
    "22:00": ("2026-11-28 22:00", "2026-11-29 22:00"),
    "9:00": ("2026-11-29 09:00", "2026-11-30 09:00"),
    "09:30:00": ("2026-11-29 09:30", "2026-11-30 09:30"),
    "09:30:01": ("2026-11-28 09:30:01", "2026-11-29 09:30:01"),
    "noon": ("2026-11-28 12:00", "2026-11-29 12:00"),
    "midnight": ("2026-11-29 00:00", "2026-11-30 00:00"),
    "now": ("2026-11-29 09:30", "2026-11-29 09:30"),
    "today": ("2026-11-29 00:00", "2026-11-29 00:00"),
    "Yesterday": ("2026-11-28 00:00", "2026-11-28 00:00"),
    "tomorrow": ("2026-11-30 00:00", "2026-11-30 00:00"),
    "last night": ("2026-11-28 18:00", "2026-11-28 18:00"),
    "yesterday  22:00": ("2026-11-28 22:00", "2026-11-28 22:00"),
    "22:00 yesterday": ("2026-11-28 22:00", "2026-11-28 22:00"),
    "tomorrow noon": ("2026-11-30 12:00", "2026-11-30 12:00"),
    "2h": ("2026-11-29 07:30", "2026-11-29 11:30"),
    "90min": ("2026-11-29 08:00", "2026-11-29 11:00"),
    "2 days": ("2026-11-27 09:30", "2026-12-01 09:30"),
    "5m ago": ("2026-11-29 09:25", "2026-11-29 09:25"),
    "in 5 minutes": ("2026-11-29 09:35", "2026-11-29 09:35"),
    "2026-12-01": ("2026-12-01 00:00", "2026-12-01 00:00"),
    "20261201": ("2026-12-01 00:00", "2026-12-01 00:00"),
    "2026-12-01 09:00": ("2026-12-01 09:00", "2026-12-01 09:00"),
    "2026-12-01T09:00:30": ("2026-12-01 09:00:30", "2026-12-01 09:00:30"),
    "9:00 2026-12-01": ("2026-12-01 09:00", "2026-12-01 09:00"),
    "2026-12-01T09:00:00Z": ("2026-12-01 10:00", "2026-12-01 10:00"),
    "2026-12-01 09:00+05:30": ("2026-12-01 04:30", "2026-12-01 04:30"),
}


@pytest.mark.parametrize("typed", TIMES)
def test_a_time_is_read_looking_back_and_ahead(typed: str) -> None:
    read = [
        instant_of(parse(typed), at=NOW, zone=PARIS, is_ahead=is_ahead)
        for is_ahead in (False, True)
    ]

    expected = [datetime.fromisoformat(local).replace(tzinfo=PARIS) for local in TIMES[typed]]
    assert read == expected
    assert {instant.tzinfo for instant in read} == {UTC}


@pytest.mark.parametrize(
    "typed",
    ["", "2026", "25:00", "12:60", "yesterday22:00", "last week", "2026-02-30", "90", "5 apples",
     "today 02:30Z", "in 5m ago", "2026-13-01 02:30", "2026-03-08T02:30:00+99:00", "monday 02:30"],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_text(typed: str) -> None:
    with pytest.raises(ValueError, match="is not a time: ") as caught:
        parse(typed)

    assert repr(typed) in str(caught.value)


def test_a_month_from_now_has_no_length() -> None:
    with pytest.raises(ValueError, match="months and years differ in length"):
        parse("in 2 months")


@pytest.mark.parametrize(
    "typed",
    [
        "9999-12-31T23:59:59-14:00",
        "0001-01-01T00:00:00+14:00",
        "0001-01-01 00:00",
        "9999999w",
        "99999999999999d",
    ],
)
def test_a_time_beyond_all_dates_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match=r"too far away|further away"):
        instant_of(parse(typed), at=NOW, zone=PARIS, is_ahead=False)


def test_only_local_times_need_a_zone() -> None:
    local = [typed for typed in TIMES if parse(typed).needs_zone]

    assert {"22:00", "today", "last night", "2026-12-01"} <= set(local)
    assert not {"now", "2h", "5m ago", "2026-12-01T09:00:00Z", "2026-12-01 09:00+05:30"} & set(
        local
    )


def test_a_time_is_as_long_as_its_smallest_unit() -> None:
    lengths = [parse(typed).length for typed in ("2026-12-01", "02:30", "02:30:00", "02:30:00.5")]

    assert lengths == [
        timedelta(days=1),
        timedelta(minutes=1),
        timedelta(seconds=1),
        timedelta(microseconds=1),
    ]
    assert parse("last night").length == timedelta(hours=12)


LOCAL_TIMES = [
    ("Europe/Paris", "2027-03-28 02:30", "2027-03-28T01:00:00Z"),
    ("Europe/Paris", "2027-03-28 02:00", "2027-03-28T01:00:00Z"),
    ("Europe/Paris", "2027-03-28 02:59:59.5", "2027-03-28T01:00:00Z"),
    ("Europe/Paris", "2027-03-28 01:59:59", "2027-03-28T00:59:59Z"),
    ("Europe/Paris", "2027-03-28 03:00", "2027-03-28T01:00:00Z"),
    ("Europe/Paris", "2027-10-31 02:30", "2027-10-31T00:30:00Z"),
    ("America/New_York", "2027-03-14 02:30", "2027-03-14T07:00:00Z"),
    ("America/New_York", "2027-11-07 01:30", "2027-11-07T05:30:00Z"),
    ("Australia/Lord_Howe", "2027-10-03 02:15", "2027-10-02T15:30:00Z"),
    ("Africa/Cairo", "2027-04-30 00:20", "2027-04-29T22:00:00Z"),
    ("Europe/Paris", "1945-04-02 02:59:59.5", "1945-04-02T01:00:00Z"),
    ("Pacific/Apia", "2011-12-30 12:00", "2011-12-30T10:00:00Z"),
]


@pytest.mark.parametrize("zone, local, instant", LOCAL_TIMES)
@pytest.mark.parametrize("is_of_machine", [False, True])
def test_a_local_time_in_a_gap_is_the_first_moment_after_it(
    zone: str, local: str, instant: str, is_of_machine: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            of_zone: tzinfo | None = None if is_of_machine else ZoneInfo(zone)
            read = real_instant(datetime.fromisoformat(local), of_zone)
    finally:
        time.tzset()

    assert read == datetime.fromisoformat(instant)


@pytest.mark.parametrize("zone", [None, PARIS])
def test_the_last_second_of_all_years_is_read(zone: ZoneInfo | None) -> None:
    last = datetime.fromisoformat("9999-12-31 23:59:59")

    assert real_instant(last, zone).isoformat().startswith("9999-12-31T2")


@pytest.mark.parametrize(
    "text, zone, note",
    [
        ("2027-03-28 02:30", PARIS, "Europe/Paris skips 02:30 that day: 2027-03-28 03:00 is meant"),
        ("2026-04-24", ZoneInfo("Africa/Cairo"), "skips 00:00 that day: 2026-04-24 01:00 is meant"),
        ("2027-10-31 02:30", PARIS, None),
        ("2027-03-28 03:00", PARIS, None),
        ("2027-03-28", PARIS, None),
        ("2027-03-28T02:30Z", PARIS, None),
        ("now", PARIS, None),
    ],
)
def test_a_skipped_time_has_a_note(text: str, zone: ZoneInfo, note: str | None) -> None:
    typed = parse(text)

    sentence = skipped_note(typed, instant_of(typed, at=NOW, zone=zone, is_ahead=True), zone)

    assert (sentence != "") == (note is not None)
    assert note is None or note in sentence


def test_an_instant_is_named_with_its_zone() -> None:
    assert named(NOW, PARIS) == "2026-11-29 09:30 CET (Europe/Paris)"
