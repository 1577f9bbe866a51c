"""The fields of a job as controls of a form, made from the one description of a job. Pure, no IO.

Labels and words are here; kinds, bounds, help and defaults come from `jobs.document`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from jobs_app.core import field_spec
from jobs_app.core.field_spec import DescribedField, described_fields
from jobs_app.core.policies import FirePolicy, RunLimits
from jobs_app.core.states import CatchupPolicy, Event, OverlapPolicy
from jobs_app.jobs.document import Definition
from jobs_app.runs.retention import Retention
from jobs_app.runs.retry import RETRIED, RetryPolicy
from jobs_app.schedules.description import duration
from jobs_app.schedules.schedule import Schedule
from jobs_app.web.pages.form_fields import Choice, ControlSpec
from jobs_app.web.pages.form_values import UNSET, Blank, Kind, is_number, json_text

#: The fields of the schedule's kinds, and the words for them.
SCHEDULE_KINDS = {
    "cron": "at times of a cron expression",
    "interval_seconds": "every so many seconds, minutes or hours",
    "every": "every so many days, weeks, months or years",
    "at": "once",
    "on": "when jobs-app starts",
    "manual": "by hand only",
}


def _names(group: type) -> tuple[str, ...]:
    return tuple(field.name for field in described_fields(group))


#: The sections of the form, with the fields in each. `schedule`, `notify` and `kwargs` are parts
#: of their own, `retry` and `retention` stand for their fields.
SECTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "what": (
        "What",
        ("name", "task", "kwargs", "run_arguments", "confirm", "description", "tags", "origin"),
    ),
    "when": ("When", ("schedule", "max_runs", "observe")),
    "late": ("If it is late or overlaps", _names(FirePolicy)),
    "limits": ("Limits and retries", (*_names(RunLimits), "retry", "pause_after_failures")),
    "where": ("Where", ("queue", "priority", "concurrency_key", "concurrency_limit")),
    "told": ("Who is told", ("notify",)),
    "history": ("History", ("retention",)),
}

#: Fields whose own fields stand beside the others, with their label's first word.
NESTED: dict[str, type] = {"retry": RetryPolicy, "retention": Retention}

_LABELS = {
    "confirm": "Ask for its name before a start by hand",
    "observe": "Only watch",
    "origin": "Imported from",
    "cron": "Cron expression",
    "interval_seconds": "Every",
    "every": "Every",
    "anchor_at": "Counted from",
    "at": "At",
    "timezone": "Time zone",
    "start_at": "Not before",
    "end_at": "Not at or after",
    "jitter_seconds": "Spread over",
    "overlap_policy": "If a run is unfinished",
    "starting_deadline_seconds": "On time within",
    "catchup_policy": "Later ones",
    "catchup_window_seconds": "Caught up within",
    "catchup_max_runs": "Most runs to catch up",
    "max_delay_seconds": "Longest wait",
    "delay_seconds": "Wait before the next attempt",
    "backoff": "The wait",
    "jitter": "Shorten waits at random",
    "on": "Try again after",
    "late_after_seconds": "Late after",
}

_HELP = {
    "name": "Lower-case letters, digits, '.', '_' and '-'.",
    "tags": "Divided by commas or spaces.",
    "origin": "Another import of the same source finds the job by this. Blank: made by hand.",
    "cron": "Five fields: minute, hour, day of the month, month, day of the week.",
    "every": "As 1 day, 2 weeks or 3 months: at the same local time, in summer and in winter.",
    "anchor_at": "It fires then and every so often after it. Blank: from its start.",
    "timezone": "An IANA name, such as Europe/Paris.",
    "start_at": "No fire is before this.",
    "end_at": "No fire is at or after this.",
    "jitter_seconds": "Each fire starts up to this much later.",
    "observe": "Its fires are recorded, and nothing runs.",
    "jitter": "So that many retries do not come at once.",
}

#: The words for a value of an enumeration; others are shown as they are.
WORDS: dict[str, str] = {
    OverlapPolicy.SKIP: "skip the new fire",
    OverlapPolicy.BUFFER_ONE: "let one fire wait",
    OverlapPolicy.BUFFER_ALL: "let all fires wait",
    OverlapPolicy.CANCEL_OTHER: "cancel the other run, with its grace",
    OverlapPolicy.TERMINATE_OTHER: "kill the other run",
    OverlapPolicy.ALLOW_ALL: "run both",
    CatchupPolicy.NONE: "do not run",
    CatchupPolicy.LAST: "the last one runs",
    CatchupPolicy.ALL: "all of them run, one after the other",
    "exponential": "doubles each time",
    "constant": "stays the same",
    "timed_out": "timed out",
}

#: The words for null, where it is a value of its own.
_NULLS = {
    "time_limit_seconds": "no limit",
    "soft_time_limit_seconds": "no limit",
    "max_runs": "no end",
    "pause_after_failures": "never",
    "origin": "none",
    "concurrency_key": "none",
    "concurrency_limit": "none",
}

#: The list of time zones in the page.
ZONES = "zones"


@dataclass(frozen=True, slots=True)
class Defaults:
    """The values of fields that a document leaves out, and the installation's retention."""

    document: Mapping[str, Any]
    retention: Mapping[str, int]
    timezone: str


def ticks_of(name: str) -> tuple[str, ...]:
    """Return the values of a field that is a set of ticks."""
    return {"on": tuple(str(state) for state in RETRIED)}.get(name, ())


def word_of(value: object) -> str:
    """Return the words for a value of an enumeration."""
    return WORDS.get(str(value), str(value))


def label_of(name: str) -> str:
    """Return the label of a field."""
    return _LABELS.get(name) or name.removesuffix("_seconds").replace("_", " ").capitalize()


def job_specs(names: tuple[str, ...], defaults: Defaults) -> list[ControlSpec]:
    """Return the controls of the plain fields *names*, those of `retry` and `retention` too."""
    fields = {field.name: field for field in described_fields(Definition)}
    specs: list[ControlSpec] = []
    for name in names:
        if name in NESTED:
            values = defaults.retention if name == "retention" else defaults.document[name]
            specs += nested_specs(name, values)
        elif name not in ("name", "task", "kwargs", "run_arguments", "schedule", "notify"):
            specs.append(_spec(fields[name], "", defaults.document.get(name, UNSET)))
    return specs


def nested_specs(name: str, values: Mapping[str, Any]) -> list[ControlSpec]:
    """Return the controls of the fields of `retry` or `retention`; *values* are their defaults."""
    return [
        _spec(field, f"/{name}", values.get(field.name, UNSET))
        for field in described_fields(NESTED[name])
        if not ticks_of(field.name)
    ]


def rule_specs(index: int, channels: tuple[str, ...]) -> list[ControlSpec]:
    """Return the controls of the notification rule at *index*, but for the ticks of its events."""
    at = f"/notify/{index}"
    choices = tuple(Choice(json_text(name), name) for name in channels)
    return [
        ControlSpec(f"{at}/channel", "Channel", (Kind.ENUM,), choices=choices),
        ControlSpec(
            f"{at}/after_failures", "After failures in a row", (Kind.INTEGER,), default="1"
        ),
        ControlSpec(
            f"{at}/late_after_seconds",
            "Late after",
            (Kind.DURATION,),
            default="what counts as on time",
        ),
    ]


def schedule_specs(at: str = "/schedule") -> list[ControlSpec]:
    """Return the controls of the fields of the schedule whose control is *at*.

    `on` has one value: it is chosen by its kind.
    """
    specs = []
    for name, hint in get_type_hints(Schedule).items():
        if name in ("seed", "on"):
            continue
        kind = _kind(name, hint)
        suggestions = ZONES if name == "timezone" else ""
        specs.append(
            ControlSpec(
                f"{at}/{name}",
                label_of(name),
                (kind,),
                help=_HELP.get(name, ""),
                suggestions=suggestions,
            )
        )
    return specs


def name_spec(*, tasks: tuple[str, ...]) -> tuple[ControlSpec, ControlSpec]:
    """Return the controls of the name and of the task."""
    choices = tuple(Choice(json_text(task), task) for task in tasks)
    return (
        ControlSpec("/name", "Name", (Kind.STRING,), help=_HELP["name"], is_required=True),
        ControlSpec("/task", "Task", (Kind.ENUM,), choices=choices, is_required=True),
    )


def _spec(field: DescribedField, at: str, default: Any) -> ControlSpec:
    own = _described(field.annotation)
    is_nullable = type(None) in get_args(field.annotation)
    kind = _kind(field.name, field.annotation)
    blanks = [Blank.UNSET]
    if is_nullable and default is not None and at != "/retention":
        blanks.append(Blank.NULL)
    if kind is Kind.WORDS and default != []:
        blanks.append(Blank.EMPTY)
    return ControlSpec(
        f"{at}/{field.name}",
        label_of(field.name),
        (Kind.TEXT,) if field.name == "description" else (kind,),
        help=_HELP.get(field.name) or own.help,
        choices=_choices(field.annotation),
        blanks=tuple(blanks),
        default=_default_words(field.name, kind, default),
        null_label=_NULLS.get(field.name, "none"),
    )


def _default_words(name: str, kind: Kind, default: Any) -> str:
    if default is None:
        return _NULLS.get(name, "")
    if default is UNSET or default in ("", [], ()):
        return ""
    return words_of(kind, default)


def words_of(kind: Kind, value: Any) -> str:
    """Return a value in words; one that its field cannot have as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if kind is Kind.DURATION and is_number(value):
        return duration(int(value)) if value and float(value).is_integer() else f"{value} s"
    return word_of(value) if isinstance(value, str) else json.dumps(value)


def _described(annotation: Any) -> field_spec.FieldSpec:
    """Return what `jobs.document` says about a field."""
    for part in (annotation, *get_args(annotation)):
        found = [
            one
            for one in getattr(part, "__metadata__", ())
            if isinstance(one, field_spec.FieldSpec)
        ]
        if found:
            return found[0]
    return field_spec.FieldSpec()


def _plain(annotation: Any) -> Any:
    """Return the type in *annotation*, without its description and without None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(part for part in get_args(annotation) if part is not type(None)))
    return annotation


def _kind(name: str, annotation: Any) -> Kind:
    plain = _plain(annotation)
    if plain in (int, float):
        number = Kind.INTEGER if plain is int else Kind.NUMBER
        return Kind.DURATION if name.endswith("_seconds") else number
    if plain is bool:
        return Kind.BOOLEAN
    if get_origin(plain) is tuple:
        return Kind.WORDS
    if get_origin(plain) is Literal or (isinstance(plain, type) and issubclass(plain, StrEnum)):
        return Kind.ENUM
    return Kind.STRING if plain is str else Kind.INSTANT


def _choices(annotation: Any) -> tuple[Choice, ...]:
    plain = _plain(annotation)
    if plain is bool:
        return (Choice("true", "yes"), Choice("false", "no"))
    if get_origin(plain) is Literal:
        return tuple(Choice(json_text(value), word_of(value)) for value in get_args(plain))
    if isinstance(plain, type) and issubclass(plain, StrEnum):
        return tuple(Choice(json_text(str(value)), word_of(value)) for value in plain)
    return ()


#: The events that a rule may name.
EVENTS = tuple(event.value for event in Event if event is not Event.TEST)
