"""What is told to whom: tables, no database."""

import pytest

from jobs_app.core.states import Event, RunState
from jobs_app.notifications.rules import (
    DEFAULT_EVENTS,
    SUBSCRIBABLE_EVENTS,
    Rule,
    Subscriber,
    event_mask,
    first_late_after_seconds,
    match_events,
    outcome_events,
    rules_as_json,
    rules_from_json,
    subscriptions,
)

OPS = Subscriber(1, "ops", DEFAULT_EVENTS, is_default=True)
CHAT = Subscriber(2, "chat", (Event.SUCCEEDED,), is_default=False)
CHANNELS = [OPS, CHAT]


@pytest.mark.parametrize(
    "state, failures, told",
    [
        (RunState.SUCCEEDED, 0, [Event.SUCCEEDED]),
        (RunState.SUCCEEDED, 1, [Event.RECOVERED, Event.SUCCEEDED]),
        (RunState.SUCCEEDED, 7, [Event.RECOVERED, Event.SUCCEEDED]),
        (RunState.FAILED, 1, [Event.FAILED]),
        (RunState.TIMED_OUT, 1, [Event.FAILED]),
        (RunState.LOST, 1, [Event.LOST]),
        (RunState.CANCELLED, 0, []),
        (RunState.RETRYING, 0, []),
        (RunState.SKIPPED, 0, []),
    ],
)
def test_the_end_of_a_run_is_told_as(state: RunState, failures: int, told: list[Event]) -> None:
    assert list(outcome_events(state, failures=failures)) == told


@pytest.mark.parametrize(
    "rules, told",
    [
        pytest.param(None, ["ops"], id="nothing said: the default channels"),
        pytest.param((), [], id="nobody"),
        pytest.param((Rule("ops"),), ["ops"], id="as the channel says"),
        pytest.param((Rule("chat"),), [], id="the channel itself does not want it"),
        pytest.param(
            (Rule("chat", (Event.FAILED,)),),
            ["chat"],
            id="the rule wants it all the same",
        ),
        pytest.param((Rule("ops", (Event.LATE,)),), [], id="the rule wants something else"),
        pytest.param((Rule("gone"),), [], id="a channel that is gone"),
        pytest.param(
            (Rule("ops"), Rule("ops", (Event.FAILED,))),
            ["ops"],
            id="two rules, told once",
        ),
        pytest.param(
            (Rule("ops"), Rule("chat", (Event.FAILED,))),
            ["ops", "chat"],
            id="two channels",
        ),
    ],
)
def test_a_failure_is_told_to(rules: tuple[Rule, ...] | None, told: list[str]) -> None:
    found = match_events(subscriptions(rules, CHANNELS), [Event.FAILED], failures=1)

    assert [channel.name for channel, _ in found] == told


@pytest.mark.parametrize("event", [Event.FAILED, Event.LOST, Event.RECOVERED])
@pytest.mark.parametrize("failures, is_told", [(2, False), (3, True), (4, True)])
def test_it_is_told_from_the_third_failure_on(event: Event, failures: int, is_told: bool) -> None:
    subscribed = subscriptions((Rule("ops", (event,), after_failures=3),), CHANNELS)

    assert bool(match_events(subscribed, [event], failures=failures)) is is_told


@pytest.mark.parametrize(
    "event",
    [
        Event.MISSED,
        Event.PAUSED,
        Event.LATE,
        Event.SUCCEEDED,
    ],
)
def test_other_events_wait_for_no_failures(event: Event) -> None:
    subscribed = subscriptions((Rule("ops", (event,), after_failures=3),), CHANNELS)

    assert match_events(subscribed, [event])


def test_a_recovery_is_told_once_and_not_as_a_success_too() -> None:
    both = (
        Rule("chat", (Event.SUCCEEDED,)),
        Rule("chat", (Event.RECOVERED,)),
    )

    found = match_events(
        subscriptions(both, CHANNELS),
        [Event.RECOVERED, Event.SUCCEEDED],
        failures=1,
    )

    assert [event for _, event in found] == [Event.RECOVERED]


def test_what_a_job_hears_is_the_sum_over_its_rules() -> None:
    rules = (Rule("ops", (Event.LATE,), late_after_seconds=60), Rule("chat"))
    subscribed = subscriptions(rules, CHANNELS)

    assert event_mask(subscribed) == Event.LATE.bit + Event.SUCCEEDED.bit
    assert first_late_after_seconds(subscribed) == 60


def test_lateness_counts_only_where_it_is_wanted() -> None:
    assert (
        first_late_after_seconds(subscriptions((Rule("ops", late_after_seconds=60),), CHANNELS))
        is None
    )


def test_the_place_of_an_event_in_rows_never_changes() -> None:
    assert [(event.value, event.bit) for event in Event] == [
        ("failed", 1),
        ("recovered", 2),
        ("late", 4),
        ("missed", 8),
        ("lost", 16),
        ("succeeded", 32),
        ("paused", 64),
        ("test", 128),
    ]
    assert Event.TEST not in SUBSCRIBABLE_EVENTS


@pytest.mark.parametrize("rules", [None, (), (Rule("ops"), Rule("chat", (Event.LATE,), 2, 9))])
def test_rules_survive_their_row(rules: tuple[Rule, ...] | None) -> None:
    assert rules_from_json(rules_as_json(rules)) == rules


def test_an_event_that_only_a_newer_version_knows_is_passed_over() -> None:
    document = {**Rule("ops").as_json(), "on": ["exploded", "failed"]}

    assert Rule.from_json(document).on == (Event.FAILED,)
