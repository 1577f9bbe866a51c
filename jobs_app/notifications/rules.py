"""Rules: which channels are notified of which events of a job. Pure, no IO."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs_app.core.states import Event, RunState

#: Events that a rule or a channel may name.
SUBSCRIBABLE_EVENTS = tuple(event for event in Event if event is not Event.TEST)

#: Events of a channel that names none.
DEFAULT_EVENTS = (
    Event.FAILED,
    Event.RECOVERED,
    Event.LATE,
    Event.MISSED,
    Event.LOST,
    Event.PAUSED,
    Event.OVERRUN,
)

#: Events that respect `after_failures`. A recovery is sent if its failures were.
EVENTS_AFTER_FAILURES = frozenset({Event.FAILED, Event.LOST, Event.RECOVERED})

#: A rule that names no `late_after_seconds` gives a run at least this long.
LEAST_LATE_SECONDS = 60

_EVENT_BY_NAME: dict[str, Event] = {event.value: event for event in Event}


def parse_events(names: Iterable[str]) -> tuple[Event, ...]:
    """Return the events of those names, without names that only a newer version knows.

    An unknown word in a rule must not keep a run from finishing.
    """
    return tuple(event for event in map(_EVENT_BY_NAME.get, names) if event is not None)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which events of a job one channel gets; `on` None: the channel's own events.

    `late_after_seconds` None: the job's deadline, LEAST_LATE_SECONDS at least.
    """

    channel: str
    on: tuple[Event, ...] | None = None
    after_failures: int = 1
    late_after_seconds: int | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Rule":
        """Return the rule that `as_json` wrote; a field that is left out has its default."""
        known = {name: document[name] for name in cls.__slots__ if name in document}
        on = known.pop("on", None)
        return cls(**known, on=None if on is None else parse_events(on))

    def as_json(self) -> dict[str, Any]:
        """Return the rule as a job's row, and the API, have it."""
        on = None if self.on is None else [event.value for event in self.on]
        return {
            "channel": self.channel,
            "on": on,
            "after_failures": self.after_failures,
            "late_after_seconds": self.late_after_seconds,
        }


@dataclass(frozen=True, slots=True)
class Subscriber:
    """The fields of a channel that rules need."""

    id: int
    name: str
    events: tuple[Event, ...]
    is_default: bool


@dataclass(frozen=True, slots=True)
class Subscription:
    """A rule of one job together with its channel."""

    channel: Subscriber
    on: frozenset[Event]
    after_failures: int
    late_after_seconds: int | None

    def late_after(self, deadline_seconds: int) -> int:
        """Return after how many seconds a run of a job with that deadline is late."""
        if self.late_after_seconds is not None:
            return self.late_after_seconds
        return max(deadline_seconds, LEAST_LATE_SECONDS)

    def includes(self, event: Event, *, failures: int) -> bool:
        """Tell whether it includes *event* after so many failures in a row."""
        is_counted = event in EVENTS_AFTER_FAILURES
        return event in self.on and (not is_counted or failures >= self.after_failures)


def rules_from_json(notify: Iterable[Mapping[str, Any]] | None) -> tuple[Rule, ...] | None:
    """Return the rules in a job's row; None: the default channels, (): nobody."""
    return None if notify is None else tuple(map(Rule.from_json, notify))


def rules_as_json(rules: Iterable[Rule] | None) -> list[dict[str, Any]] | None:
    """Return *rules* as a job's row, and the API, have them."""
    return None if rules is None else [rule.as_json() for rule in rules]


def subscriptions(
    rules: Sequence[Rule] | None, channels: Iterable[Subscriber]
) -> list[Subscription]:
    """Return the subscriptions to a job with *rules*; skip a rule whose channel is gone."""
    by_name = {channel.name: channel for channel in channels}
    if rules is None:
        rules = [Rule(channel.name) for channel in by_name.values() if channel.is_default]
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
    """Return the events of all these subscriptions, as the sum of their bits."""
    events = {event for subscription in subscribed for event in subscription.on}
    return sum(event.bit for event in events)


def first_late_after_seconds(
    subscribed: Iterable[Subscription], *, deadline_seconds: int
) -> int | None:
    """Return after how long a run is late for the first; None if no subscription has `late`."""
    waits = (one.late_after(deadline_seconds) for one in subscribed if Event.LATE in one.on)
    return min(waits, default=None)


def outcome_events(
    state: RunState, *, failures: int, has_output: bool = False
) -> tuple[Event, ...]:
    """Return the events of a run that finished in *state*, the preferred one first.

    *failures* are those in a row: for a success those before it, else this one included.
    """
    output = (Event.OUTPUT,) if has_output else ()
    match state:
        case RunState.SUCCEEDED if failures:
            return (Event.RECOVERED, *output, Event.SUCCEEDED)
        case RunState.SUCCEEDED:
            return (*output, Event.SUCCEEDED)
        case RunState.FAILED | RunState.TIMED_OUT:
            return (Event.FAILED, *output)
        case RunState.LOST:
            return (Event.LOST, *output)
        case _:
            return ()


def match_events(
    subscribed: Sequence[Subscription], events: Sequence[Event], *, failures: int = 0
) -> list[tuple[Subscriber, Event]]:
    """Return each subscribed channel once, with the first of *events* that it includes."""
    matches: dict[int, tuple[Subscriber, Event]] = {}
    for event in events:
        for subscription in subscribed:
            if subscription.includes(event, failures=failures):
                channel = subscription.channel
                matches.setdefault(channel.id, (channel, event))
    return list(matches.values())


def channels_with_output(subscribed: Sequence[Subscription], events: Sequence[Event]) -> set[int]:
    """Return the ids of the channels that want the output of the run of *events*.

    They get it with the preferred event: a failure that has printed something is one message.
    """
    if Event.OUTPUT not in events:
        return set()
    return {one.channel.id for one in subscribed if Event.OUTPUT in one.on}
