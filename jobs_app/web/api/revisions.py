"""/jobs/{name}/revisions: the definitions that a job has had, and a way back to them."""

from operator import attrgetter
from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import BaseModel, Field

from jobs_app.core.field_spec import INT32
from jobs_app.db.models.jobs import Job, JobRevision
from jobs_app.jobs import revisions
from jobs_app.web.api import jobs, pagination, preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import JOBS, problems
from jobs_app.web.api.pagination import ListQuery
from jobs_app.web.api.preconditions import IfMatch
from jobs_app.web.api.responses import all_as_json, as_json, checked_name
from jobs_app.web.api.schemas.dump import dumped, shown_job_kwargs
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.api.schemas.job_input import JobPath, WriteQuery
from jobs_app.web.api.schemas.job_output import JobOut, shown_schedules
from jobs_app.web.api.tokens import NUMBER
from jobs_app.web.session import unlocked

api = LateBlueprint("revisions", __name__, abp_tags=[JOBS])

KIND = "revisions"


class RevisionSummary(BaseModel):
    """A change of a job's definition: by whom, when, and the names of the changed fields."""

    number: Annotated[int, Field(description="The version of the job after the change.")]
    at: Instant
    by: Annotated[
        str | None, Field(description="Null for a state that was on no record before its change.")
    ]
    via: Annotated[str | None, Field(description="`api`, `cli`, `page` or `system`.")]
    note: str | None
    changed: Annotated[
        list[str],
        Field(description="Up to 20 names, as `schedule.cron`; none for the first revision."),
    ]


class RevisionOut(RevisionSummary):
    """A revision with the job as it was.

    `definition` has the fields of a PUT. Arguments that look like secrets are masked in it.
    """

    previous: Annotated[
        int | None, Field(description="The number of the revision before; null for the oldest.")
    ]
    definition: dict[str, Any]


class RevisionPage(BaseModel):
    """Part of the revisions, newest first; `next_cursor` is null at its end."""

    items: list[RevisionSummary]
    next_cursor: str | None


class RevisionPath(JobPath):
    """Which revision of which job."""

    number: Annotated[str, Field(json_schema_extra={"pattern": "^[0-9]{1,9}$", "example": "3"})]


@api.get("/jobs/<name>/revisions", responses={200: RevisionPage, **problems(400, 404)})
def list_revisions(path: JobPath, query: ListQuery) -> Response:
    """List the revisions of a job, newest first. The newest 100 are kept."""
    before = pagination.decode(KIND, query.cursor, _number)
    job = jobs.find_job(path.name)
    with unlocked() as reader:
        items = revisions.page(reader, job, before=before, limit=query.limit + 1)
    return pagination.page(KIND, query.limit, items, key=attrgetter("number"), show=_show_all)


@api.get("/jobs/<name>/revisions/<number>", responses={200: RevisionOut, **problems(404)})
def read_revision(path: RevisionPath) -> Response:
    """Read a job as it was after a change."""
    job = jobs.find_job(path.name)
    revision = _find(job, path.number)
    with unlocked() as reader:
        previous = revisions.page(reader, job, before=revision.number, limit=1)
    out = RevisionOut(
        **as_json(RevisionSummary, revision),
        previous=previous[0].number if previous else None,
        definition=_show_definition(revision.definition),
    )
    return jsonify(dumped(out))


@api.post(
    "/jobs/<name>/revisions/<number>/restore",
    responses={200: JobOut, **problems(404, 409, 412, 428)},
)
def restore_revision(header: IfMatch, path: RevisionPath, query: WriteQuery) -> Response:
    """Save a job as it was, its name included: a change like a PUT of that document.

    A secret that is masked in the revision stays as the job has it now.
    """
    job = jobs.find_job(path.name)
    version = preconditions.expected_version()
    revision = _find(job, path.number)
    body = jobs.validated(revisions.restorable(revision.definition, job.kwargs))
    # Merged into what was read just now, as a PATCH is.
    version = job.version if version is None and not query.dry_run else version
    return jobs.save(job, body, version=version, dry_run=query.dry_run, restored=revision.number)


def _find(job: Job, number: str) -> JobRevision:
    with unlocked() as reader:
        return revisions.get(reader, job, int(checked_name(NUMBER, number, "revision")))


def _show_all(items: list[JobRevision]) -> list[dict[str, Any]]:
    return all_as_json(RevisionSummary, items)


def _show_definition(definition: dict[str, Any]) -> dict[str, Any]:
    shown = {"kwargs": shown_job_kwargs(definition["kwargs"])}
    return definition | shown | shown_schedules(definition)


def _number(text: str) -> int:
    number = int(text)
    if not 0 < number <= INT32:
        raise ValueError("not a number of a revision")
    return number
