"""/apply: makes jobs agree with a set of documents, all of them or none."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, Literal

from flask import Response, jsonify
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError

from jobs_app.core.document_diff import differences
from jobs_app.core.errors import FieldError, InvalidInput, refuse
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.jobs.apply import Action, JobSet, Step
from jobs_app.jobs.definition import described
from jobs_app.jobs.document import Definition, in_same_field
from jobs_app.jobs.fire_changes import FireChanges
from jobs_app.jobs.write import Replacement
from jobs_app.web import extension, job_commands
from jobs_app.web.api import job_documents, preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import JOBS, problems
from jobs_app.web.api.preconditions import MayRepeat
from jobs_app.web.api.schemas.base import Input, raise_invalid, refuse_large_kwargs
from jobs_app.web.api.schemas.dump import shown_job_kwargs
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.api.schemas.job_input import JobIn, Name, WriteQuery
from jobs_app.web.api.schemas.job_output import Effect, FireOut, JobOut, show_effect, show_fire

api = LateBlueprint("apply", __name__, abp_tags=[JOBS])

#: Jobs in one request: they are written in one transaction, and others wait for it.
MOST_JOBS = 2000

#: Jobs that `prune_only` may name.
MOST_PRUNED = 10_000


class ApplyIn(Input):
    """Jobs as they are to be, each as for `POST /jobs`.

    `set` names the set that manages them: it becomes the `origin` of new jobs. With `prune`, jobs
    of the set that it no longer has are deleted. `prune_only` names those that may be: if others
    would be, too, nothing is changed (409 `prune_changed`). With `take_over` it also manages jobs
    that were made by hand or belong to another set.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "set": "billing",
                    "jobs": [
                        {
                            "name": "nightly-report",
                            "task": "shell",
                            "kwargs": {"command": "python report.py"},
                            "schedule": {"cron": "30 2 * * 1-5", "timezone": "Europe/Paris"},
                        }
                    ],
                }
            ]
        }
    )

    # Checked one by one, so that a job with a wrong field does not hide the faults of others.
    jobs: Annotated[list[SkipValidation[JobIn]], Field(max_length=MOST_JOBS)]
    set: Annotated[str, Field(min_length=1, max_length=200, examples=["billing"])] | None = None
    prune: bool = False
    prune_only: Annotated[list[Name], Field(max_length=MOST_PRUNED)] | None = None
    take_over: bool = False


class FieldChange(BaseModel):
    """A field that differs, as `schedule.cron`; null stands for one that is not there."""

    field: str
    before: Any
    after: Any


class MovedFire(BaseModel):
    """A fire that moves."""

    before: FireOut
    after: FireOut


class FireChangesOut(BaseModel):
    """Which of the next ten fires come, go and move."""

    come: list[FireOut]
    go: list[FireOut]
    moved: list[MovedFire]


class HandEdit(BaseModel):
    """The newest change of a job that is not from its set: by whom, when, and of what."""

    by: str | None
    via: str | None
    at: Instant
    changed: list[str]


class ApplyStep(BaseModel):
    """What becomes of one job.

    `effect` is null for a job that is kept or deleted, `job` for one that is deleted.
    `changed_by_hand` is there if the step undoes a change that somebody made by hand.
    """

    name: str
    action: Literal["create", "change", "keep", "delete"]
    job: JobOut | None
    effect: Effect | None
    changes: list[FieldChange]
    fires: FireChangesOut
    changed_by_hand: HandEdit | None


class ApplyOut(BaseModel):
    """What was done, or with `dry_run` what would be done, job by job."""

    items: list[ApplyStep]


@api.post("/apply", responses={200: ApplyOut, **problems(409, 412, body=True)})
def apply_jobs(header: MayRepeat, query: WriteQuery, body: ApplyIn) -> Response:
    """Make jobs agree with a set of documents. One that is refused keeps all from being changed.

    Nothing runs at once. Jobs that the set does not name are left alone, unless it manages them
    and `prune` is true.
    """
    job_set = _job_set(body)
    with _pointers_as_sent(body):
        if query.dry_run:
            preconditions.check_key(header.idempotency_key)
            steps = job_commands.plan_set(job_set)
            return _answer(steps, _planned(steps))
        return preconditions.once(lambda: _apply(job_set))


def _apply(job_set: JobSet) -> Response:
    done = job_commands.apply_set(job_set)
    kept = [(step, job) for step, job in done if step.action is not Action.DELETE]
    documents = job_documents.of([job for _, job in kept])
    by_name = {step.name: document for (step, _), document in zip(kept, documents, strict=True)}
    return _answer([step for step, _ in done], by_name)


def _job_set(body: ApplyIn) -> JobSet:
    """Return what *body* asks for, with the faults of documents that make no definition."""
    if body.prune and body.set is None:
        refuse([FieldError("/set", "needed", "Name the set whose jobs are pruned.")])
    if body.prune_only is not None and not body.prune:
        refuse([FieldError("/prune", "needed", "`prune_only` goes with `prune`.")])
    parts = extension.current()
    definitions: dict[int, Definition] = {}
    faults: list[FieldError] = []
    names: set[str] = set()
    for number, document in enumerate(body.jobs):
        try:
            job = _job(document)
            if job.name in names:
                detail = f"The job {job.name!r} is there twice."
                refuse([FieldError("/name", "name_twice", detail)])
            names.add(job.name)
            refuse_large_kwargs(job.kwargs)  # type: ignore[attr-defined]  # a derived field
            definitions[number] = job.definition(parts.settings, name=job.name, app=parts.celery)
        except InvalidInput as error:
            faults += error.under(f"/jobs/{number}").errors
    return JobSet(
        definitions,
        body.set,
        prunes=body.prune,
        prune_only=None if body.prune_only is None else frozenset(body.prune_only),
        takes_over=body.take_over,
        faults=faults,
    )


def _job(document: object) -> JobIn:
    """Return *document* as a job; raises InvalidInput with all its faults."""
    try:
        return JobIn.model_validate(document)
    except ValidationError as error:
        raise_invalid(error)


#: The only schedule of a job, in a pointer.
_SCHEDULE = re.compile(r"^/jobs/([0-9]+)/schedule(?=/|$)")


@contextmanager
def _pointers_as_sent(body: ApplyIn) -> Iterator[None]:
    """Let errors of an only schedule point into `schedules` of jobs that have it there."""
    documents: Sequence[object] = body.jobs
    listed = {
        number
        for number, document in enumerate(documents)
        if isinstance(document, dict) and "schedules" in document
    }

    def moved(match: re.Match[str]) -> str:
        is_listed = int(match[1]) in listed
        return f"/jobs/{match[1]}/schedules/0" if is_listed else match[0]

    try:
        yield
    except InvalidInput as error:
        errors = [replace(one, pointer=_SCHEDULE.sub(moved, one.pointer)) for one in error.errors]
        raise InvalidInput(error.detail, code=error.code, errors=errors) from error


def _planned(steps: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """Return the jobs as they would be, by name."""
    effects = [step.effect for step in steps if step.effect is not None]
    documents = [one["job"] for one in job_documents.of_effects(effects)]
    kept: list[Job] = [
        step.job for step in steps if step.action is Action.KEEP and step.job is not None
    ]
    return {one["name"]: one for one in [*documents, *job_documents.of(kept)]}


def _answer(steps: Sequence[Step], jobs: dict[str, dict[str, Any]]) -> Response:
    return jsonify({"items": [_step(step, jobs.get(step.name)) for step in steps]})


def _step(step: Step, job: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "name": step.name,
        "action": step.action,
        "job": job,
        "effect": None if step.effect is None else show_effect(step.effect),
        "changes": _changes(step),
        "fires": _fires(step.fires),
        "changed_by_hand": _edit(step.edited),
    }


def _changes(step: Step) -> list[dict[str, Any]]:
    if step.action is not Action.CHANGE or not isinstance(step.write, Replacement):
        return []
    documents = in_same_field(_document(step.write.before), _document(step.write.definition))
    return [
        {"field": field.name, "before": field.before, "after": field.after}
        for field in differences(*documents)
    ]


def _document(definition: Definition) -> dict[str, Any]:
    return described(definition) | {"kwargs": shown_job_kwargs(definition.kwargs)}


def _fires(fires: FireChanges) -> dict[str, Any]:
    return {
        "come": [show_fire(fire) for fire in fires.come],
        "go": [show_fire(fire) for fire in fires.go],
        "moved": [
            {"before": show_fire(before), "after": show_fire(after)}
            for before, after in fires.moved
        ],
    }


def _edit(revision: JobRevision | None) -> dict[str, Any] | None:
    if revision is None:
        return None
    edit = HandEdit(
        by=revision.by, via=revision.via, at=revision.at, changed=list(revision.changed)
    )
    return edit.model_dump(mode="json")
