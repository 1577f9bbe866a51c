"""An entry becomes a job with arguments by name, or is refused with a sentence."""

from datetime import UTC, datetime
from typing import Any

import pytest
from celery.beat import BeatLazyFunc
from kombu import Queue

from jobs_app.jobs.importers.drafts import Draft, Refused
from jobs_app.jobs.importers.periodic_entry import (
    PeriodicEntry,
    Timing,
    Workers,
    draft_of,
    follow_options,
    plain_values,
)

TASKS: dict[str, Any] = {
    "add": {"positional": ["x", "y", "*rest"], "declared": {"time_limit_seconds": 60}}
}
DAILY = Timing({"cron": "@daily"}, "Europe/Paris")


def draft(**fields: Any) -> Draft:
    entry = PeriodicEntry("Add, daily", "add", "add", timing=DAILY, **fields)
    limits = {"time_limit_seconds": None, "overlap_policy": "allow_all"}
    return draft_of(entry, TASKS, prefix="shop-", like_source=limits)


def test_positional_arguments_get_their_names():
    made = draft(args=(1, 2, 3), kwargs={"other": (4, {5: 6})})

    assert (made.name, made.task, made.timezone) == ("shop-add-daily", "add", "Europe/Paris")
    assert made.kwargs == {"x": 1, "y": 2, "rest": [3], "other": [4, {"5": 6}]}
    # The code of the task declares its limit, which beat's workers follow, too.
    assert made.fields == {"overlap_policy": "allow_all"}


def test_an_unknown_task_and_arguments_that_do_not_fit_are_refused():
    with pytest.raises(Refused, match="two values for the argument 'x'"):
        draft(args=(1,), kwargs={"x": 1})
    with pytest.raises(Refused, match=r"no task 'ad'\. Did you mean 'add'"):
        draft_of(PeriodicEntry("a", "a", "ad", timing=DAILY), TASKS, prefix="", like_source={})


LAZY = BeatLazyFunc(datetime.now)


@pytest.mark.parametrize(
    "value, words",
    [
        ([float("nan")], r"args\[0\] is nan"),
        ([{"at": datetime(2026, 1, 1, tzinfo=UTC)}], r"args\[0\].at is a datetime"),
        ([LAZY], "computes it at each start"),
        ({1, 2}, "args is a set"),
        ([[0] * 101] * 100, "more than a job takes"),
    ],
)
def test_values_that_json_does_not_have_are_refused(value, words):
    with pytest.raises(Refused, match=words):
        plain_values(value, "args")


def test_values_within_each_other_do_not_grow_without_end():
    value: list[Any] = []
    for _ in range(31):
        value = [value, value, value]

    with pytest.raises(Refused, match="more than a job takes"):
        plain_values(value, "args")


def test_options_of_messages_are_followed_or_named():
    entry = PeriodicEntry("a", "a")

    follow_options(
        entry,
        {
            "queue": Queue("slow"),
            "priority": 3,
            "expires": 60.0,
            "time_limit": 2.5,
            "headers": {"a": 1},
            "link": [],
        },
    )

    assert entry.fields == {"queue": "slow", "priority": 3, "time_limit_seconds": 3}
    assert [text.partition(" is")[0] for text in entry.differences_here] == ["Its priority"]
    assert [text.partition(" is")[0] for text in entry.differences] == [
        "Its option expires (60.0)",
        "Its options headers are of the message, and are not followed.",
    ]


def test_a_priority_that_jobs_do_not_have_is_named():
    entry = PeriodicEntry("a", "a")

    follow_options(entry, {"priority": 200})

    assert entry.fields == {}
    assert "200 is left out" in entry.differences[0]


def test_an_entry_that_starts_other_tasks_is_refused():
    with pytest.raises(Refused, match="Its option link starts other tasks"):
        follow_options(PeriodicEntry("a", "a"), {"link": [{"task": "b"}]})


@pytest.mark.parametrize(
    "there, own, queue",
    [("web", None, "web"), ("web", "slow", "slow"), ("celery", None, None), (None, None, None)],
)
def test_a_sent_entry_goes_to_the_queue_that_its_application_gives_it(
    there: str | None, own: str | None, queue: str | None
) -> None:
    entry = PeriodicEntry("a", "a", "t", timing=DAILY, queue_there=there)
    follow_options(entry, {"queue": own})

    draft = draft_of(entry, {}, prefix="", like_source={}, workers=Workers("${secret:broker}"))

    assert draft.kwargs.get("queue") == queue
