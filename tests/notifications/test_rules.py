"""Rules: which channels get which events. No database."""

import pytest

from jobs_app.core.states import Event, RunState
from jobs_app.notifications.rules import (
    DEFAULT_EVENTS,
    SUBSCRIBABLE_EVENTS,
    Rule,
    Subscriber,
    channels_with_output,
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
    "state, failures, expected",
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
def test_a_run_in_this_state_has_these_events(
    state: RunState, failures: int, expected: list[Event]
) -> None:
    assert list(outcome_events(state, failures=failures)) == expected


@pytest.mark.parametrize(
    "rules, expected",
    [
        pytest.param(None, ["ops"], id="no rules: the default channels"),
        pytest.param((), [], id="nobody"),
        pytest.param((Rule("ops"),), ["ops"], id="the events of the channel"),
        pytest.param((Rule("chat"),), [], id="the channel does not have the event"),
        pytest.param(
            (Rule("chat", (Event.FAILED,)),),
            ["chat"],
            id="the rule has the event",
        ),
        pytest.param((Rule("ops", (Event.LATE,)),), [], id="the rule has another event"),
        pytest.param((Rule("gone"),), [], id="a channel that is gone"),
        pytest.param(
            (Rule("ops"), Rule("ops", (Event.FAILED,))),
            ["ops"],
            id="two rules, one notification",
        ),
        pytest.param(
            (Rule("ops"), Rule("chat", (Event.FAILED,))),
            ["ops", "chat"],
            id="two channels",
        ),
    ],
)
def test_a_failure_notifies_these_channels(
    rules: tuple[Rule, ...] | None, expected: list[str]
) -> None:
    matches = match_events(subscriptions(rules, CHANNELS), [Event.FAILED], failures=1)

    assert [channel.name for channel, _ in matches] == expected


@pytest.mark.parametrize("event", [Event.FAILED, Event.LOST, Event.RECOVERED])
@pytest.mark.parametrize("failures, is_match", [(2, False), (3, True), (4, True)])
def test_after_failures_3_matches_from_the_third_failure_on(
    event: Event, failures: int, is_match: bool
) -> None:
    subscribed = subscriptions((Rule("ops", (event,), after_failures=3),), CHANNELS)

    assert bool(match_events(subscribed, [event], failures=failures)) is is_match


@pytest.mark.parametrize(
    "event",
    [
        Event.MISSED,
        Event.PAUSED,
        Event.LATE,
        Event.SUCCEEDED,
        Event.OUTPUT,
        Event.OVERRUN,
    ],
)
def test_other_events_wait_for_no_failures(event: Event) -> None:
    subscribed = subscriptions((Rule("ops", (event,), after_failures=3),), CHANNELS)

    assert match_events(subscribed, [event])


def test_a_recovery_notifies_once_and_not_as_a_success_too() -> None:
    rules = (
        Rule("chat", (Event.SUCCEEDED,)),
        Rule("chat", (Event.RECOVERED,)),
    )

    matches = match_events(
        subscriptions(rules, CHANNELS),
        [Event.RECOVERED, Event.SUCCEEDED],
        failures=1,
    )

    assert [event for _, event in matches] == [Event.RECOVERED]


@pytest.mark.parametrize(
    "on, expected",
    [
        ((Event.OUTPUT,), Event.OUTPUT),
        ((Event.SUCCEEDED, Event.OUTPUT), Event.OUTPUT),
        ((Event.RECOVERED, Event.OUTPUT), Event.RECOVERED),
    ],
)
def test_a_channel_gets_the_output_in_its_only_message_about_a_run(
    on: tuple[Event, ...], expected: Event
) -> None:
    subscribed = subscriptions((Rule("chat", on),), CHANNELS)
    events = outcome_events(RunState.SUCCEEDED, failures=1, has_output=True)

    matches = match_events(subscribed, events, failures=1)

    assert [event for _, event in matches] == [expected]
    assert channels_with_output(subscribed, events) == {channel.id for channel, _ in matches}
    silent = outcome_events(RunState.SUCCEEDED, failures=1)
    assert channels_with_output(subscribed, silent) == set()


def test_the_events_of_a_job_are_the_sum_over_its_rules() -> None:
    rules = (Rule("ops", (Event.LATE,), late_after_seconds=60), Rule("chat"))
    subscribed = subscriptions(rules, CHANNELS)

    assert event_mask(subscribed) == Event.LATE.bit + Event.SUCCEEDED.bit
    assert first_late_after_seconds(subscribed, deadline_seconds=10) == 60


@pytest.mark.parametrize("deadline, expected", [(0, 60), (60, 60), (900, 900)])
def test_without_a_time_of_its_own_late_is_after_the_deadline_of_the_job(
    deadline: int, expected: int
) -> None:
    subscribed = subscriptions((Rule("ops", (Event.LATE,)),), CHANNELS)

    assert first_late_after_seconds(subscribed, deadline_seconds=deadline) == expected


def test_late_after_seconds_counts_only_with_the_event_late() -> None:
    subscribed = subscriptions((Rule("chat", late_after_seconds=60),), CHANNELS)

    assert first_late_after_seconds(subscribed, deadline_seconds=60) is None


def test_the_bit_of_an_event_never_changes() -> None:
    assert [(event.value, event.bit) for event in Event] == [
        ("failed", 1),
        ("recovered", 2),
        ("late", 4),
        ("missed", 8),
        ("lost", 16),
        ("succeeded", 32),
        ("paused", 64),
        ("test", 128),
        ("output", 256),
        ("overrun", 512),
    ]
    assert Event.TEST not in SUBSCRIBABLE_EVENTS


@pytest.mark.parametrize("rules", [None, (), (Rule("ops"), Rule("chat", (Event.LATE,), 2, 9))])
def test_rules_survive_their_row(rules: tuple[Rule, ...] | None) -> None:
    assert rules_from_json(rules_as_json(rules)) == rules


def test_an_event_that_only_a_newer_version_knows_is_ignored() -> None:
    document = {**Rule("ops").as_json(), "on": ["exploded", "failed"]}

    assert Rule.from_json(document).on == (Event.FAILED,)
