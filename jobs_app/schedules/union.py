"""Several schedules of one job, which fire as one. Pure, no IO.

The functions take one schedule, too, and treat it as `schedule` does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby, islice
from typing import TypeAlias

from jobs_app.schedules import schedule as single
from jobs_app.schedules import timezones
from jobs_app.schedules.schedule import Fire, Schedule, in_utc, zone_of

#: Schedules that a job may have.
MAX_SCHEDULES = 20

#: Fires of single schedules that `count_fires` compares, to count those once that they share.
MAX_COMPARED = 10_000

_TICK = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Schedules:
    """Two schedules or more; an instant at which several of them fire is one fire.

    Such a fire has the shortest jitter of these schedules; a jitter ends at the next fire.
    """

    parts: tuple[Schedule, ...]

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise ValueError("one schedule is a Schedule")

    @property
    def timezone(self) -> str:
        """The time zone in which people read its instants: that of the first one."""
        return self.parts[0].timezone

    @property
    def jitter_seconds(self) -> int:
        """The longest jitter that one of its fires may have."""
        return max(part.jitter_seconds for part in self.parts)


AnySchedule: TypeAlias = Schedule | Schedules


def union(parts: Sequence[Schedule]) -> AnySchedule | None:
    """Return the schedule that fires whenever one of *parts* does; None if there are none."""
    if len(parts) > 1:
        return Schedules(tuple(parts))
    return parts[0] if parts else None


def parts_of(schedule: AnySchedule | None) -> tuple[Schedule, ...]:
    """Return the single schedules in *schedule*; none for a job that is started by hand only."""
    if isinstance(schedule, Schedules):
        return schedule.parts
    return () if schedule is None else (schedule,)


def seeded(schedule: AnySchedule, seed: str) -> AnySchedule:
    """Return *schedule* of the job called *seed*."""
    if isinstance(schedule, Schedules):
        return Schedules(tuple(replace(part, seed=seed) for part in schedule.parts))
    return replace(schedule, seed=seed)


def fires_on_start(schedule: AnySchedule | None) -> bool:
    """Return whether *schedule* fires when jobs-app starts."""
    return any(part.on is not None for part in parts_of(schedule))


def with_starts(schedule: AnySchedule, starts: Sequence[datetime]) -> AnySchedule:
    """Return *schedule* with a fire at each of *starts* if it fires on start."""
    if not starts or not fires_on_start(schedule):
        return schedule
    parts = [
        part
        for one in parts_of(schedule)
        for part in ([one] if one.on is None else _at_starts(one, starts))
    ]
    return union(parts) or schedule


def _at_starts(schedule: Schedule, starts: Sequence[datetime]) -> list[Schedule]:
    return [replace(schedule, on=None, at=start) for start in starts]


def next_fire(schedule: AnySchedule, *, after: datetime) -> datetime | None:
    """Return the first fire strictly later than *after*, in UTC; None if there is none."""
    if isinstance(schedule, Schedule):
        return single.next_fire(schedule, after=after)
    instants = (single.next_fire(part, after=after) for part in schedule.parts)
    return min(_present(instants), default=None)


def previous_fire(schedule: AnySchedule, *, before: datetime) -> datetime | None:
    """Return the last fire strictly earlier than *before*, in UTC; None if there is none."""
    if isinstance(schedule, Schedule):
        return single.previous_fire(schedule, before=before)
    instants = (single.previous_fire(part, before=before) for part in schedule.parts)
    return max(_present(instants), default=None)


def _present(instants: Iterable[datetime | None]) -> Iterator[datetime]:
    return (instant for instant in instants if instant is not None)


def fires(
    schedule: AnySchedule, *, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """Yield the fires later than *after*, up to and including *until*, in order, each once.

    Without *until* they may be infinite.
    """
    return (fire for fire, _ in groupby(_merged(schedule, after, until)))


def _merged(schedule: AnySchedule, after: datetime, until: datetime | None) -> Iterator[datetime]:
    """Yield the fires in order; one that schedules share once for each of them."""
    parts = parts_of(schedule)
    return merge(*(single.fires(part, after=after, until=until) for part in parts))


def count_fires(schedule: AnySchedule, *, after: datetime, until: datetime) -> int:
    """Return the number of fires later than *after*, up to and including *until*.

    The work is bounded: several schedules are compared at MAX_COMPARED fires of theirs. Later
    fires are counted once for each schedule that has them.
    """
    if isinstance(schedule, Schedule):
        return single.count_fires(schedule, after=after, until=until)
    compared = list(islice(_merged(schedule, in_utc(after), until), MAX_COMPARED))
    number = len(set(compared))
    if len(compared) < MAX_COMPARED:
        return number
    last = compared[-1]
    rest = (single.count_fires(part, after=last, until=until) for part in schedule.parts)
    return number + sum(rest)


def causes(schedule: AnySchedule, fire: datetime) -> list[int]:
    """Return the indexes of the schedules that fire at *fire*; [] if none does."""
    parts = enumerate(parts_of(schedule))
    return [index for index, part in parts if has_fire(part, fire)]


def has_fire(schedule: Schedule, instant: datetime) -> bool:
    """Return whether *schedule* fires at *instant*."""
    return single.next_fire(schedule, after=instant - _TICK) == instant


def due_at(schedule: AnySchedule, fire: datetime) -> datetime:
    """Return when the run of *fire* is due: later by its jitter, in whole milliseconds.

    The same seed and fire always give the same instant. A fire of several schedules is due by
    the next one, which may have no jitter: fires are recorded in order, and it would be late.
    """
    if isinstance(schedule, Schedule):
        return single.due_at(schedule, fire)
    fire = in_utc(fire)
    if not schedule.jitter_seconds:
        return fire
    firing = [schedule.parts[index] for index in causes(schedule, fire)]
    # A fire that was stored before an edit may be one of no schedule.
    shortest = min(firing or schedule.parts, key=lambda part: part.jitter_seconds)
    if not shortest.jitter_seconds:
        return fire
    following = next_fire(schedule, after=fire)
    room = shortest.jitter_seconds if following is None else (following - fire) // _SECOND
    return single.due_at(replace(shortest, jitter_seconds=min(shortest.jitter_seconds, room)), fire)


def preview(
    schedule: AnySchedule, *, after: datetime, count: int, until: datetime | None = None
) -> list[Fire]:
    """Return the next *count* fires with their local times, fewer if they end.

    The local times of several schedules are those in the zone of the first one.
    """
    if isinstance(schedule, Schedule):
        return single.preview(schedule, after=after, count=count, until=until)
    next_fires = islice(fires(schedule, after=after, until=until), count)
    return [_with_local_time(schedule, fire) for fire in next_fires]


def _with_local_time(schedule: Schedules, fire: datetime) -> Fire:
    local = fire.astimezone(zone_of(schedule.timezone))
    firing = (schedule.parts[index] for index in causes(schedule, fire))
    if any(single.replaces_skipped_time(part, fire) for part in firing):
        return Fire(fire, local, "gap")
    return Fire(fire, local, "repeat" if timezones.is_repeated(local) else None)


def names_local_time(schedule: AnySchedule, local: datetime) -> bool:
    """Return whether *schedule* fires at the minute of the naive *local*, skipped or not.

    It is a time in the zone of the first schedule: one in another zone does not name it.
    """
    return any(
        part.timezone == schedule.timezone and single.names_local_time(part, local)
        for part in parts_of(schedule)
    )
