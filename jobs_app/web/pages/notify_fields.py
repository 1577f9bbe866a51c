"""Who is notified of a job, as the texts of a form, and back. Pure, no IO."""

import json
import re
from typing import Any

from jobs_app.core.errors import FieldError
from jobs_app.web.pages import form_fields, job_fields
from jobs_app.web.pages.argument_fields import read
from jobs_app.web.pages.form_fields import ordered_ticks, tick_texts
from jobs_app.web.pages.form_values import UNSET, WAS, Kind, Unset, Values, json_text
from jobs_app.web.pages.job_fields import EVENTS

#: The control that chooses, and the beginning of those of the rules.
NOTIFY = "/notify"

#: The choices of who is notified.
NOTIFY_CHOICES = {
    "default": "the channels that hear of every job",
    "nobody": "nobody",
    "own": "channels of its own",
}

#: Rules without a channel that a form has to offer.
MORE_RULES = 2

#: Most rules of a job.
MOST_RULES = 20


def texts_of(rules: Any, *, zone: str) -> dict[str, str]:
    """Return the texts that show the rules of a job."""
    if not isinstance(rules, list):
        return {NOTIFY: "default"}
    if not rules:
        return {NOTIFY: "nobody"}
    texts = {NOTIFY: "own"}
    for index, rule in enumerate(rules):
        pointer = f"{NOTIFY}/{index}"
        for spec in job_fields.rule_specs(index, ()):
            value = rule.get(spec.name.rpartition("/")[2], UNSET)
            if spec.kind is Kind.ENUM:
                texts[spec.name] = json_text(value)
            else:
                texts |= form_fields.texts_of(spec, value, zone=zone)
        if rule.get("on") is not None:
            texts |= tick_texts(f"{pointer}/on", rule["on"])
            texts[f"{WAS}{pointer}/on"] = json.dumps(rule["on"])
    return texts


def rules_from(values: Values) -> tuple[dict[str, Any], list[FieldError]]:
    """Return the part of a document that the texts *values* are, and their errors."""
    chosen = values.get(NOTIFY, "default")
    if chosen not in ("nobody", "own"):
        return {}, []
    if chosen == "nobody":
        return {"notify": []}, []
    rules, errors = [], []
    for index in range(rule_count(values)):
        rule: dict[str, Any] = {}
        for spec in job_fields.rule_specs(index, ()):
            name = spec.name.rpartition("/")[2]
            value, error = read(spec, values)
            errors += error
            if not isinstance(value, Unset):
                rule[name] = _channel(value) if name == "channel" else value
        events = ordered_ticks(values, f"{NOTIFY}/{index}/on", EVENTS)
        rules.append(rule | ({"on": events} if events else {}))
    return {"notify": rules}, errors


def _channel(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def rule_count(values: Values) -> int:
    """Return the number of notification rules in a form whose rules are `compact`."""
    count = 0
    while count < MOST_RULES and f"{NOTIFY}/{count}/channel" in values:
        count += 1
    return count


def compact(values: Values) -> dict[str, str]:
    """Return the form without the rules that name no channel; the others are numbered anew.

    The numbers of the rules are then those in the document, and so in its errors.
    """
    numbers: dict[str, int] = {}
    for index in range(MOST_RULES + MORE_RULES):
        if values.get(f"{NOTIFY}/{index}/channel"):
            numbers[str(index)] = len(numbers)
    result = {}
    for name, text in values.items():
        match = _OF_RULE.fullmatch(name)
        if match is None:
            result[name] = text
        elif match[2] in numbers:
            result[f"{match[1]}{numbers[match[2]]}{match[3]}"] = text
    return result


_OF_RULE = re.compile(rf"((?:\w+:)?{NOTIFY}/)([0-9]+)(/.*)")
