"""The controls of a job's fields, made from the one description of a job."""

from collections import Counter
from dataclasses import fields, replace

from jobs_app.core.field_spec import described_fields
from jobs_app.core.settings import Settings
from jobs_app.core.states import CatchupPolicy, OverlapPolicy
from jobs_app.jobs.definition import from_document
from jobs_app.jobs.document import KINDS, Definition, as_json
from jobs_app.schedules.schedule import Schedule
from jobs_app.web.pages.form_values import Blank, Kind
from jobs_app.web.pages.job_fields import (
    SCHEDULE_KINDS,
    SECTIONS,
    WORDS,
    Defaults,
    job_specs,
    schedule_specs,
)

DEFAULTS = Defaults(
    as_json(from_document({"task": "shell"}, Settings(), name="x")), {"keep_days": 30}, "UTC"
)


def test_each_field_of_a_job_stands_in_one_section() -> None:
    named = Counter(name for _, names in SECTIONS.values() for name in names)

    assert set(named) == {field.name for field in described_fields(Definition)}
    assert set(named.values()) == {1}


def test_each_field_of_a_schedule_has_a_control() -> None:
    names = {spec.name.rpartition("/")[2] for spec in schedule_specs()}

    # `on` has one value, which its kind says.
    assert names == {field.name for field in fields(Schedule)} - {"seed", "on"}
    assert set(KINDS) < set(SCHEDULE_KINDS)


def test_each_policy_has_words() -> None:
    assert {*OverlapPolicy, *CatchupPolicy} <= set(WORDS)


def test_a_control_knows_its_kind_and_its_default() -> None:
    names = ("time_limit_seconds", "overlap_policy", "priority", "tags", "retry", "retention")

    specs = {spec.name: spec for spec in job_specs(names, DEFAULTS)}

    limit = specs["/time_limit_seconds"]
    assert (limit.kind, limit.default) == (Kind.DURATION, "no limit")
    assert (limit.blanks, limit.null_label) == ((Blank.UNSET,), "no limit")
    declared = replace(DEFAULTS, document={**DEFAULTS.document, "time_limit_seconds": 3600})
    (limit,) = job_specs(("time_limit_seconds",), declared)
    assert (limit.blanks, limit.default) == ((Blank.UNSET, Blank.NULL), "1 hour")
    assert specs["/overlap_policy"].default == "skip the new fire"
    assert len(specs["/overlap_policy"].choices) == len(OverlapPolicy)
    assert specs["/priority"].kind is Kind.INTEGER
    assert specs["/priority"].help == "In its queue: 0 is served first, 9 last."
    assert specs["/retry/delay_seconds"].kind is Kind.DURATION
    assert specs["/retry/jitter"].default == "yes"
    assert specs["/retention/keep_days"].default == "30"
    assert specs["/tags"].kind is Kind.WORDS
