"""The recurrence rules of RedBeat fire here at the times at which RedBeat fires them."""

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, takewhile
from typing import Any

import pytest
from dateutil.rrule import FR, MO, TH, TU, WE
from redbeat.decoder import RedBeatJSONDecoder, RedBeatJSONEncoder
from redbeat.schedules import rrule

from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.recurrence_rules import timing_of_rule
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import fires, union

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
#: A Wednesday.
START = datetime(2026, 1, 7, 7, 30, tzinfo=UTC)
IN_PARIS = START.replace(tzinfo=timezone(timedelta(hours=1)))
INSTANTS = {"anchor_at", "start_at", "end_at"}
#: Fires that are compared.
COMPARED = 30


def stored(freq: str, **fields: Any) -> str:
    """Return the JSON that RedBeat writes."""
    return json.dumps(rrule(freq, **{"dtstart": START, **fields}), cls=RedBeatJSONEncoder)


def schedules_of(text: str) -> list[dict[str, Any]]:
    values = json.loads(text, object_hook=lambda d: d.get("wkday", d))
    timing = timing_of_rule(values, at=AT)
    return [{"timezone": timing.timezone, **timing.schedule}, *timing.others]


def times_of(text: str) -> list[str]:
    names = ("cron", "every", "interval_seconds")
    return [str(next(s[name] for name in names if name in s)) for s in schedules_of(text)]


def read(schedule: dict[str, Any]) -> Schedule:
    values: dict[str, Any] = {
        n: datetime.fromisoformat(v) if n in INSTANTS else v for n, v in schedule.items()
    }
    return Schedule(**values)


@pytest.mark.few(12)
@pytest.mark.parametrize(
    "text, times",
    [
        (stored("DAILY"), ["30 7 * * *"]),
        (stored("DAILY", dtstart=IN_PARIS), ["30 7 * * *"]),
        (stored("DAILY", dtstart=START.replace(second=5)), ["86400"]),
        (stored("DAILY", interval=3), ["259200"]),
        (stored("DAILY", byhour=[6, 18], byminute=0), ["0 6,18 * * *"]),
        (stored("DAILY", interval=2, byhour=[6, 18]), ["172800", "172800"]),
        (stored("DAILY", bymonth=[6, 7], until=AT + timedelta(days=400)), ["30 7 * 6,7 *"]),
        (stored("WEEKLY", byweekday=[MO, WE]), ["30 7 * * 1,3"]),
        (stored("WEEKLY", interval=2, byweekday=[MO, WE]), ["1209600", "1209600"]),
        (stored("WEEKLY", interval=2, wkst=6, byweekday=[6, 0]), ["1209600", "1209600"]),
        (stored("WEEKLY", count=80), ["30 7 * * 3"]),
        (stored("MONTHLY"), ["30 7 7 * *"]),
        (stored("MONTHLY", interval=3), ["30 7 7 1-10/3 *"]),
        (stored("MONTHLY", interval=5), ["5 months"]),
        (stored("MONTHLY", bymonthday=[1, 15]), ["30 7 1,15 * *"]),
        (stored("MONTHLY", bymonthday=-1), ["30 7 L * *"]),
        (stored("MONTHLY", bymonthday=[1, -3]), ["30 7 1,L-2 * *"]),
        (stored("MONTHLY", bymonthday=31), ["30 7 31 * *"]),
        (stored("MONTHLY", byweekday=MO(2)), ["30 7 * * 1"]),
        (stored("MONTHLY", byweekday=MO, bysetpos=[1, 3]), ["30 7 * * 1#1,1#3"]),
        (stored("MONTHLY", byweekday=FR, bysetpos=-1), ["30 7 * * 5L"]),
        (stored("MONTHLY", byweekday=[MO, TU, WE, TH, FR], bysetpos=1), ["30 7 1W * *"]),
        (stored("MONTHLY", byweekday=[MO, TU, WE, TH, FR], bysetpos=-1), ["30 7 LW * *"]),
        (stored("MONTHLY", bymonthday=[*range(1, 8)], byweekday=TU), ["30 7 * * 2#1"]),
        (stored("YEARLY"), ["30 7 7 1 *"]),
        (stored("YEARLY", interval=2), ["2 years"]),
        (stored("YEARLY", dtstart=datetime(2024, 2, 29, tzinfo=UTC)), ["0 0 29 2 *"]),
        (stored("YEARLY", bymonth=[3, 9], bymonthday=[5]), ["30 7 5 3,9 *"]),
        (stored("HOURLY", interval=5), ["18000"]),
        (stored("HOURLY", interval=6, byweekday=[*range(5)]), ["30 1-19/6 * * 1-5"]),
        (stored("MINUTELY", interval=10), ["600"]),
        (stored("MINUTELY", interval=20, byhour=[*range(8, 18)]), ["10-50/20 8-17 * * *"]),
        (stored("SECONDLY", interval=15), ["15"]),
        (stored("DAILY", dtstart=AT + timedelta(days=9)), ["0 9 * * *"]),
    ],
)
def test_a_rule_has_the_fires_that_redbeat_computes(text: str, times: list[str]) -> None:
    theirs = json.loads(text, cls=RedBeatJSONDecoder).rrule
    ours = union([*map(read, schedules_of(text))])
    assert ours is not None

    expected = [fire.astimezone(UTC) for fire in islice(theirs.xafter(AT), COMPARED)]
    assert list(islice(fires(ours, after=AT), COMPARED)) == expected
    assert times_of(text) == times


def test_the_offset_of_the_start_is_kept_and_named() -> None:
    timing = timing_of_rule(json.loads(stored("DAILY", dtstart=IN_PARIS)), at=AT)

    assert timing.timezone == "Etc/GMT-1"
    assert ["stay at +0100 from UTC" in difference for difference in timing.differences] == [True]


def test_a_rule_that_ends_has_its_last_fire() -> None:
    (ending,) = schedules_of(stored("WEEKLY", count=80))
    last = START + timedelta(weeks=79)

    assert ending["end_at"] == f"{last + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"
    assert list(takewhile(lambda _: True, fires(read(ending), after=AT)))[-1] == last


@pytest.mark.parametrize(
    "text, words",
    [
        (stored("DAILY", count=3), "has ended"),
        (stored("DAILY", until=AT), "has ended"),
        (stored("SECONDLY", count=10**9), "after 1,000,000,000 fires"),
        (stored("YEARLY", byyearday=100), "byyearday"),
        (stored("YEARLY", byeaster=0), "byeaster"),
        (stored("YEARLY", byweekno=5), "byweekno"),
        (stored("MONTHLY", dtstart=START.replace(day=31), interval=5), "without a day 31"),
        (stored("MONTHLY", bymonthday=13, byweekday=FR), "either of them"),
        (stored("MONTHLY", bymonthday=-1, byweekday=FR), "last days of the month and weekdays"),
        (stored("MONTHLY", bymonthday=[28, 29, 30, 31], bysetpos=-1), "bysetpos"),
        (stored("MONTHLY", byweekday=FR, bysetpos=-2), "bysetpos"),
        (stored("MINUTELY", interval=7, byhour=9), "interval of 7"),
        (stored("DAILY", interval=2, bymonth=1), "of some months only"),
        (stored("MONTHLY", interval=5, bymonthday=1), "interval of 5"),
        (stored("DAILY", bysecond=[0, 30]), "at seconds"),
        (stored("DAILY", interval=2, byhour=[*range(24)]), "more than 20 schedules"),
        (stored("YEARLY", bymonth=2, bymonthday=30), "never fires"),
        (
            stored("DAILY", dtstart=START.replace(tzinfo=timezone(timedelta(hours=5, minutes=30)))),
            "an offset that no zone has",
        ),
    ],
)
def test_a_rule_without_the_same_fires_here_is_refused(text: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        schedules_of(text)
