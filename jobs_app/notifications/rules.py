"""What is worth telling of a job, and which channels want to hear it: pure, no IO."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs_app.core.states import Event, RunState

#: What a rule or a channel may name.
SUBSCRIBABLE_EVENTS = tuple(event for event in Event if event is not Event.TEST)

#: What a channel hears unless something else is said of it.
DEFAULT_EVENTS = (
    Event.FAILED,
    Event.RECOVERED,
    Event.MISSED,
    Event.LOST,
    Event.PAUSED,
)

#: Told only from so many failures in a row on; a recovery, if those were told.
EVENTS_AFTER_FAILURES = frozenset({Event.FAILED, Event.LOST, Event.RECOVERED})


def parse_events(names: Iterable[str]) -> tuple[Event, ...]:
    """Return the events of those names; one that only a newer version knows is passed over.

    No run may fail to end because of a word in a rule.
    """
    return tuple(event for event in map(_EVENT_BY_NAME.get, names) if event is not None)


_EVENT_BY_NAME: dict[str, Event] = {event.value: event for event in Event}


@dataclass(frozen=True, slots=True)
class Rule:
    """What one channel is told of a job; `on` None: what the channel itself says."""

    channel: str
    on: tuple[Event, ...] | None = None
    after_failures: int = 1
    late_after_seconds: int = 300

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Rule":
        """Return the rule that `as_json` wrote."""
        on = document.get("on")
        return cls(
            channel=document["channel"],
            on=None if on is None else parse_events(on),
            after_failures=document["after_failures"],
            late_after_seconds=document["late_after_seconds"],
        )

    def as_json(self) -> dict[str, Any]:
        """Return it as the row of a job, and the API, have it."""
        on = None if self.on is None else [event.value for event in self.on]
        return {
            "channel": self.channel,
            "on": on,
            "after_failures": self.after_failures,
            "late_after_seconds": self.late_after_seconds,
        }


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A channel, as far as its rules go."""

    id: int
    name: str
    events: tuple[Event, ...]
    is_default: bool


@dataclass(frozen=True, slots=True)
class Subscription:
    """A rule with its channel: what that is told of one job."""

    channel: Subscriber
    on: frozenset[Event]
    after_failures: int = 1
    late_after_seconds: int = 300

    def hears(self, event: Event, *, failures: int) -> bool:
        """Tell whether it wants *event*, after so many failures in a row."""
        return event in self.on and (
            event not in EVENTS_AFTER_FAILURES or failures >= self.after_failures
        )


def rules_from_json(notify: Iterable[Mapping[str, Any]] | None) -> tuple[Rule, ...] | None:
    """Return the rules in a job's row; None: the default channels, (): nobody."""
    return None if notify is None else tuple(map(Rule.from_json, notify))


def rules_as_json(rules: Iterable[Rule] | None) -> list[dict[str, Any]] | None:
    """Return *rules* as a job's row, and the API, have them."""
    return None if rules is None else [rule.as_json() for rule in rules]


def subscriptions(
    rules: Sequence[Rule] | None, channels: Iterable[Subscriber]
) -> list[Subscription]:
    """Return who is told of a job with *rules*; a rule whose channel is gone tells nobody."""
    if rules is None:
        return [
            Subscription(channel, frozenset(channel.events))
            for channel in channels
            if channel.is_default
        ]
    by_name = {channel.name: channel for channel in channels}
    return [
        Subscription(
            by_name[rule.channel],
            frozenset(by_name[rule.channel].events if rule.on is None else rule.on),
            rule.after_failures,
            rule.late_after_seconds,
        )
        for rule in rules
        if rule.channel in by_name
    ]


def event_mask(subscribed: Iterable[Subscription]) -> int:
    """Return the events that anybody wants, as the sum of their bits."""
    return sum(event.bit for event in {event for each in subscribed for event in each.on})


def first_late_after_seconds(subscribed: Iterable[Subscription]) -> int | None:
    """Return after how many seconds the first one wants to hear that a run is late."""
    waits = (each.late_after_seconds for each in subscribed if Event.LATE in each.on)
    return min(waits, default=None)


def outcome_events(state: RunState, *, failures: int) -> tuple[Event, ...]:
    """Return what the end of a run may be told as, the best first.

    *failures* are those in a row: for a success those before it, else this one included.
    """
    match state:
        case RunState.SUCCEEDED if failures:
            return (Event.RECOVERED, Event.SUCCEEDED)
        case RunState.SUCCEEDED:
            return (Event.SUCCEEDED,)
        case RunState.FAILED | RunState.TIMED_OUT:
            return (Event.FAILED,)
        case RunState.LOST:
            return (Event.LOST,)
        case _:
            return ()


def match_events(
    subscribed: Sequence[Subscription], events: Sequence[Event], *, failures: int = 0
) -> list[tuple[Subscriber, Event]]:
    """Return which channel is told what: each the first of *events* that it wants, once."""
    told: dict[int, tuple[Subscriber, Event]] = {}
    for event in events:
        for each in subscribed:
            if each.hears(event, failures=failures):
                told.setdefault(each.channel.id, (each.channel, event))
    return list(told.values())
