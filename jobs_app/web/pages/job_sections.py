"""The sections of the form of a job: their fields, and in one line what they say. Pure, no IO."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs_app.core.document_diff import is_other
from jobs_app.core.text import counted
from jobs_app.web.pages import form_fields, job_fields, notify_fields
from jobs_app.web.pages.form_fields import Field
from jobs_app.web.pages.form_values import Kind, Values
from jobs_app.web.pages.job_fields import SECTIONS, Defaults

#: Sections that are always open: no job is without them.
OPEN = ("what", "when")

Errors = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the form; a closed one shows its title and its summary alone."""

    key: str
    title: str
    fields: list[Field]
    is_default: bool
    summary: str
    is_open: bool


def sections(
    values: Values, document: Mapping[str, Any], defaults: Defaults, errors: Errors
) -> list[Section]:
    """Return the sections of the form *values*, whose *document* has been read."""
    made = []
    for key, (title, names) in SECTIONS.items():
        fields = form_fields.bound(job_fields.job_specs(names, defaults), values, errors)
        is_default = not any(_is_changed(name, document, defaults) for name in names)
        has_errors = any(_is_in(pointer, names) for pointer in errors)
        made.append(
            Section(
                key,
                title,
                fields,
                is_default,
                _SUMMARIES[key](_effective(document, defaults)),
                key in OPEN or has_errors or not is_default,
            )
        )
    return made


def _is_in(pointer: str, names: Sequence[str]) -> bool:
    return pointer[1:].partition("/")[0] in names


def _is_changed(name: str, document: Mapping[str, Any], defaults: Defaults) -> bool:
    value = _effective(document, defaults).get(name)
    return is_other(value, defaults.document.get(name))


def _effective(document: Mapping[str, Any], defaults: Defaults) -> dict[str, Any]:
    """Return *document* with the defaults of the fields that it leaves out."""
    whole = {**defaults.document, **document}
    for name in job_fields.NESTED:
        own = document.get(name)
        if isinstance(own, Mapping):
            whole[name] = {**defaults.document[name], **own}
    return whole


def _late(document: Mapping[str, Any]) -> str:
    overlap = job_fields.word_of(document["overlap_policy"])
    deadline = _duration(document["starting_deadline_seconds"])
    catchup = job_fields.word_of(document["catchup_policy"])
    return f"overlap: {overlap}; up to {deadline} late is on time; of later ones: {catchup}"


def _limits(document: Mapping[str, Any]) -> str:
    limit, attempts = document["time_limit_seconds"], document["retry"]["max_attempts"]
    ends = "no time limit" if limit is None else f"ends after {_duration(limit)}"
    is_plain = not isinstance(attempts, int) or attempts < 2
    return f"{ends}; retries: {'none' if is_plain else counted(attempts - 1, 'retry')}"


def _where(document: Mapping[str, Any]) -> str:
    key = document.get("concurrency_key")
    text = f"queue {document['queue']}, priority {document['priority']}"
    return f"{text}, key {key}" if key else text


def _notified(document: Mapping[str, Any]) -> str:
    rules = document.get("notify")
    if rules is None:
        return notify_fields.NOTIFY_CHOICES["default"]
    channels = [str(rule.get("channel")) for rule in rules if isinstance(rule, Mapping)]
    return ", ".join(channels) or "nobody"


def _history(document: Mapping[str, Any]) -> str:
    kept = document.get("retention") or {}
    parts = [f"{name.replace('_', ' ')}: {value}" for name, value in kept.items() if value]
    return ", ".join(parts) or "kept as the installation says"


def _nothing(_: Mapping[str, Any]) -> str:
    return ""


def _duration(value: Any) -> str:
    return job_fields.words_of(Kind.DURATION, value)


_SUMMARIES = {
    "what": _nothing,
    "when": _nothing,
    "late": _late,
    "limits": _limits,
    "where": _where,
    "told": _notified,
    "history": _history,
}
