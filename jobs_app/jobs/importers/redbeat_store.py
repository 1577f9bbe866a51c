"""The entries of RedBeat in somebody's Redis, as periodic tasks. Nothing is written there.

The keys and the JSON are those of celery-redbeat 2: a sorted set of the keys of the entries, a
hash for each of them, and a set with the names of those that the code declares.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import redis
from celery import Celery
from celery.schedules import ParseException, crontab, schedule
from dateutil.rrule import weekday

from jobs_app.core.text import rfc3339, shortened
from jobs_app.jobs.importers.beat_modules import LEFT_OUT, OWN_TASKS, check_task
from jobs_app.jobs.importers.beat_schedules import timing_of
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.jobs.importers.periodic_entry import PeriodicEntry, Timing, follow_options
from jobs_app.jobs.importers.recurrence_rules import timing_of_rule
from jobs_app.schedules.schedule import Schedule, next_fire

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 30.0
#: So many entries are read at once.
BATCH = 500

STATIC = (
    "The beat_schedule of the code has it, too, and RedBeat copies it from there at each start:"
    " `jobs-app import beat` may be the better source."
)
#: Offsets of zones are multiples of this, seconds.
_OFFSET_STEP = 900
_INEXACT_SECONDS = 2
#: Entries of an installation of jobs-app name this task (jobs.redbeat_entries).
OUR_TASK = "jobs_app.look"


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """An entry as Redis has it: `definition` and `meta` are JSON, None if there is none.

    `score` is the next start, in seconds since 1970.
    """

    name: str
    definition: str | None
    meta: str | None
    is_static: bool
    score: float = 0


@dataclass(frozen=True, slots=True)
class _Rule:
    """A recurrence rule as the JSON has it."""

    values: Mapping[str, Any]


def read_store(url: str, key_prefix: str) -> list[StoredEntry]:
    """Return the entries in the Redis at *url*, in the order of their next start.

    Raises ValueError for what is no URL, and RedisError.
    """
    client = redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
    )
    with client:
        scored: Any = client.zrange(f"{key_prefix}:schedule", 0, -1, withscores=True)
        statics: Any = client.smembers(f"{key_prefix}:statics")
        entries = []
        for start in range(0, len(scored), BATCH):
            batch = scored[start : start + BATCH]
            with client.pipeline(transaction=False) as pipeline:
                for key, _ in batch:
                    pipeline.hmget(key, "definition", "meta")
                answers = pipeline.execute()
            for (key, score), (definition, meta) in zip(batch, answers, strict=True):
                name = key.removeprefix(key_prefix)
                entries.append(StoredEntry(name, definition, meta, name in statics, score))
        return entries


def entries_of(
    stored: Iterable[StoredEntry], *, timezone: str, at: datetime
) -> list[PeriodicEntry]:
    """Return the periodic tasks of *stored*; crontabs are in *timezone*, which Redis lacks."""
    app = Celery("redbeat", set_as_current=False)
    app.conf.update(timezone=timezone)
    return [_entry(one, app, at) for one in stored]


def _entry(stored: StoredEntry, app: Celery, at: datetime) -> PeriodicEntry:
    made = PeriodicEntry(stored.name, stored.name)
    try:
        definition = _decoded(stored.definition)
        made.task = str(definition.get("task") or "")
        made.text = f"{stored.name}: {made.task or 'no task'}"
        if made.task in OWN_TASKS:
            made.left_out = LEFT_OUT
        elif made.task == OUR_TASK:
            made.left_out = "It is an entry of an installation of jobs-app."
        else:
            _fill_in(made, definition, stored, app, at)
    except Refused as refusal:
        made.refuse(refusal)
    return made


def _fill_in(
    made: PeriodicEntry,
    definition: Mapping[str, Any],
    stored: StoredEntry,
    app: Celery,
    at: datetime,
) -> None:
    beat_schedule = definition.get("schedule")
    if isinstance(beat_schedule, _Rule):
        made.text += ", rrule"
        check_task(made.task)
        made.timing = timing_of_rule(beat_schedule.values, at=at)
        made.differences += made.timing.differences
    elif isinstance(beat_schedule, schedule | crontab):
        made.text += f", {shortened(repr(beat_schedule).strip('<>'), 100)}"
        check_task(made.task)
        beat_schedule.app = app
        # The zone is the importer's to say.
        timing, last_start = timing_of(beat_schedule, at=at), _last_start(stored.meta)
        made.timing = with_last_start(replace(timing, timezone=None), last_start)
        made.differences += [*timing.differences, *_other_zone(timing, last_start, stored.score)]
    else:
        raise Refused("It has no schedule.")
    made.args, made.kwargs = definition.get("args") or (), definition.get("kwargs") or {}
    options = definition.get("options") or {}
    follow_options(made, options if isinstance(options, Mapping) else {})
    if definition.get("enabled") is False:
        made.disable()
    if stored.is_static:
        made.differences.append(STATIC)


def with_last_start(timing: Timing, last_start: datetime | None) -> Timing:
    """Return *timing*, an interval counted from *last_start* on, as beat counts it."""
    if last_start is None or timing.schedule.keys() != {"interval_seconds"}:
        return timing
    anchor = rfc3339(last_start.replace(microsecond=0))
    return replace(timing, schedule={**timing.schedule, "anchor_at": anchor})


def _other_zone(timing: Timing, last_start: datetime | None, score: float) -> Iterator[str]:
    """Yield a sentence if RedBeat has another next start, as another zone would give it.

    RedBeat's score is inexact, except after a start: only a difference that zones have counts.
    """
    cron = timing.schedule.get("cron")
    if cron is None or last_start is None:
        return
    zone = timing.timezone or "UTC"
    expected = next_fire(Schedule(cron=cron, timezone=zone), after=last_start)
    if expected is None:
        return
    difference = score - expected.timestamp()
    offset = round(difference / _OFFSET_STEP) * _OFFSET_STEP
    if offset and abs(difference - offset) <= _INEXACT_SECONDS:
        theirs = rfc3339(expected + timedelta(seconds=offset))
        yield (
            f"RedBeat starts it next at {theirs}; in {zone} that is {rfc3339(expected)}. Your"
            " application seems to have another `timezone`: say it by --timezone."
        )


def _last_start(meta: str | None) -> datetime | None:
    try:
        last = _decoded(meta or "{}").get("last_run_at")
    except Refused:
        return None
    return last.astimezone(UTC) if isinstance(last, datetime) and last.tzinfo else None


def _decoded(text: str | None) -> dict[str, Any]:
    """Return the JSON object *text* with the schedules and datetimes in it. Raises Refused."""
    if text is None:
        raise Refused("Redis has no definition of it, so that RedBeat starts nothing.")
    try:
        decoded = json.loads(text, object_hook=_decode_object)
    except (
        ParseException,
        ValueError,
        TypeError,
        KeyError,
        OverflowError,
        RecursionError,
    ) as error:
        detail = shortened(str(error), 200)
        raise Refused(f"RedBeat itself cannot read it: {detail}.") from error
    if not isinstance(decoded, dict):
        raise Refused("It is no object of JSON.")
    return decoded


def _decode_object(fields: dict[str, Any]) -> Any:
    """Return what an object of the JSON stands for, as RedBeat's decoder reads it."""
    kind = fields.get("__type__")
    values = {name: value for name, value in fields.items() if name != "__type__"}
    if kind == "datetime":
        zone = values.pop("timezone", "UTC")
        return datetime(**values, tzinfo=_zone(zone))
    if kind == "interval":
        return schedule(float(values["every"]), bool(values.get("relative")))
    if kind == "crontab":
        return crontab(**values)
    if kind == "weekday":
        return weekday(**values)
    if kind == "rrule":
        return _Rule(values)
    return fields


def _zone(zone: str | float) -> Any:
    # RedBeat writes the offset of a zone without a name, in seconds.
    return ZoneInfo(zone) if isinstance(zone, str) else timezone(timedelta(seconds=zone))
