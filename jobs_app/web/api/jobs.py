"""/jobs: create, find, read, replace, patch, delete, pause, resume, run now."""

from functools import partial
from operator import itemgetter
from typing import Any
from uuid import UUID

from flask import Response, jsonify, request
from pydantic import ValidationError

from jobs_app.core import clock
from jobs_app.core.states import JobSort
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import listing, service, start
from jobs_app.jobs.definition import definition_of
from jobs_app.jobs.document import NAME, Definition
from jobs_app.jobs.dry_run import DryRun
from jobs_app.jobs.listing import Position
from jobs_app.runs import history
from jobs_app.web import extension, job_commands, job_rights
from jobs_app.web.api import job_documents, pagination, preconditions
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import JOBS, problems
from jobs_app.web.api.preconditions import IfMatch, IfNoneMatch, MayRepeat
from jobs_app.web.api.responses import checked_name, located, versioned
from jobs_app.web.api.schemas.base import raise_invalid
from jobs_app.web.api.schemas.job_input import (
    CreateQuery,
    DeleteQuery,
    JobIn,
    JobPath,
    JobQuery,
    JobReplace,
    JobRunIn,
    NextQuery,
    PauseIn,
    ResumeIn,
    SaveQuery,
    WriteQuery,
    pointers_as_sent,
)
from jobs_app.web.api.schemas.job_output import (
    DryRunOut,
    FirePage,
    JobOut,
    JobPage,
    show_facets,
    show_fire,
)
from jobs_app.web.api.schemas.job_patch import JobPatch, merged
from jobs_app.web.api.schemas.runs import RunOut
from jobs_app.web.api.shown_runs import shown_run
from jobs_app.web.permissions import actor
from jobs_app.web.session import reading, session, unlocked

api = LateBlueprint("jobs", __name__, abp_tags=[JOBS])

KIND = "jobs"


@api.get("/jobs", responses={200: JobPage, **problems(400)})
def list_jobs(query: JobQuery) -> Response:
    """List jobs, by name if `sort` names no other order.

    A job whose place in the order changes while pages are read may come twice, or not at all.
    """
    at, sort = clock.now(), query.sort
    fields = {name: getattr(query, name) for name in listing.Filter.__slots__}
    kind = KIND if sort is JobSort.NAME else f"{KIND} by {sort}"
    after = pagination.decode(kind, query.cursor, partial(read_position, sort))
    jobs, is_cut = listing.page(
        session(),
        listing.Filter(**fields),
        after=after,
        limit=query.limit + 1,
        sort=sort,
        at=at,
    )
    facets = listing.facets(session(), at=at) if "facets" in query.include else None
    return pagination.page(
        kind,
        query.limit,
        jobs,
        key=itemgetter(1),
        show=partial(job_documents.of_list, with_recent="recent" in query.include),
        is_cut=is_cut,
        more={} if facets is None else {"facets": show_facets(facets)},
    )


def read_position(sort: JobSort, text: str) -> Position:
    """Return the position in a list by *sort* that a cursor holds; raises ValueError."""
    position = Position.read(text, sort)
    if not NAME.fullmatch(position.name):
        raise ValueError("not a name")
    return position


@api.post("/jobs", responses={201: JobOut, 200: DryRunOut, **problems(409, body=True)})
def create_job(header: MayRepeat, query: CreateQuery, body: JobIn) -> Response:
    """Create a job; it first runs when its schedule says so, never at once.

    With `paused` it waits for somebody to resume it.
    """
    definition = _definition(body, name=body.name)
    with pointers_as_sent(body):
        if query.dry_run:
            preconditions.check_key(header.idempotency_key)
            return _show_dry_run(job_commands.effect(definition, job=None))
        # Also before an earlier answer is repeated.
        job_rights.check_save(definition)
        return preconditions.once(
            lambda: _create(definition, query),
            check=lambda: find_job(definition.name),
        )


@api.get("/jobs/<name>", responses={200: JobOut, 304: None, **problems(404)})
def read_job(header: IfNoneMatch, path: JobPath) -> Response:
    """Read a job. Its ETag stands for its definition, not for its runs."""
    job = find_job(path.name)
    if preconditions.is_known(job.version):
        response = Response(status=304)
        response.headers["ETag"] = preconditions.etag(job.version)
        return response
    return _answer(job)


@api.put("/jobs/<name>", responses={200: JobOut, **problems(404, 409, 412, 428, body=True)})
def replace_job(header: IfMatch, path: JobPath, query: SaveQuery, body: JobReplace) -> Response:
    """Replace a job; what is left out takes its default. With `name`, rename it."""
    job = find_job(path.name)
    version = preconditions.expected_version()
    return save(job, body, version=version, dry_run=query.dry_run, is_imported=query.imported)


@api.patch("/jobs/<name>", responses={200: JobOut, **problems(404, 409, 412, 428, body=True)})
def change_job(header: IfMatch, path: JobPath, query: WriteQuery, body: JobPatch) -> Response:
    """Change some fields of a job (JSON Merge Patch)."""
    job = find_job(path.name)
    version = preconditions.expected_version()
    whole = validated(merged(definition_of(job), request.get_json()))
    # Merged into what was read just now: somebody else's change in between must not be undone.
    version = job.version if version is None and not query.dry_run else version
    return save(job, whole, version=version, dry_run=query.dry_run)


@api.delete("/jobs/<name>", responses={204: None, **problems(404, 409, 412, 428)})
def delete_job(header: IfMatch, path: JobPath, query: DeleteQuery) -> Response:
    """Delete a job. Its history stays, unless `purge` is true; its name is free again."""
    job = find_job(path.name)
    version = preconditions.expected_version()
    job_commands.delete(job, version=version, to_purge=query.purge)
    return Response(status=204)


@api.post("/jobs/<name>/pause", responses={200: JobOut, **problems(404, 409, body=True)})
def pause_job(path: JobPath, body: PauseIn) -> Response:
    """Stop following a job's schedule. It can still be run by hand.

    At `until` it is resumed; fires up to then are left out. On a paused job, only another
    `until` changes something.
    """
    job = job_commands.pause(find_job(path.name), reason=body.reason, until=body.until)
    return _answer(job)


@api.post("/jobs/<name>/resume", responses={200: JobOut, **problems(404, body=True)})
def resume_job(path: JobPath, query: WriteQuery, body: ResumeIn) -> Response:
    """Follow a job's schedule again. Fires of the pause are run only if `on_missed` says so.

    With `dry_run` nothing is changed, and the answer is the effect, as for a dry run of an edit.
    """
    job = find_job(path.name)
    if query.dry_run:
        effect = job_commands.resume_effect(job, on_missed=body.on_missed, at=clock.now())
        return _show_dry_run(effect)
    return _answer(job_commands.resume(job, on_missed=body.on_missed))


@api.get("/jobs/<name>/next", responses={200: FirePage, **problems(404)})
def next_fires(path: JobPath, query: NextQuery) -> Response:
    """List the next fires of a job; none while it is paused without an end, or ended."""
    after = query.start or clock.now()
    fires = service.next_fires(find_job(path.name), after=after, count=query.count, until=query.end)
    return jsonify({"items": [show_fire(fire) for fire in fires]})


@api.post("/jobs/<name>/runs", responses={202: RunOut, **problems(404, 409, body=True)})
def run_job(header: MayRepeat, path: JobPath, body: JobRunIn) -> Response:
    """Run a job now, whatever its schedule says. 409 if its overlap policy says no."""
    return preconditions.once(lambda: start_now(path.name, body), check=lambda: find_job(path.name))


def start_now(name: str, body: JobRunIn) -> Response:
    """Record a run of the job called *name*, and answer with it."""
    with job_rights.hidden_arguments(body.kwargs):
        started = start.start_job(
            session(),
            find_job(name),
            app=extension.current().celery,
            by=actor(),
            at=clock.now(),
            kwargs=body.kwargs,
            note=body.note,
            overlap_policy=body.overlap_policy,
            guard=lambda job: job_rights.check_start(job, body.kwargs, body.overlap_policy),
        )
    extension.notify_redis_afterwards(messages=[started.message])
    return accepted(started.run.id)


def accepted(run_id: UUID) -> Response:
    """Answer 202 with a run that was just recorded, and where to follow it."""
    with reading() as reader:
        response = jsonify(shown_run(reader, history.get(reader, run_id)))
    return located(response, 202, f"/api/v1/runs/{run_id}")


def find_job(name: str) -> Job:
    """Return the job with the name of an address; raises NotFound."""
    with unlocked() as reader:
        return service.get(reader, checked_name(NAME, name, "job"))


def validated(document: Any) -> JobReplace:
    """Return *document* as the body of a PUT; raises InvalidInput."""
    try:
        return JobReplace.model_validate(document)
    except ValidationError as error:
        raise_invalid(error)


def _definition(body: JobReplace, *, name: str) -> Definition:
    parts = extension.current()
    return body.definition(parts.settings, name=name, app=parts.celery)


def _create(definition: Definition, query: CreateQuery) -> Response:
    job = job_commands.create(definition, is_paused=query.paused, is_imported=query.imported)
    return located(_answer(job), 201, f"/api/v1/jobs/{job.name}")


def save(
    job: Job,
    body: JobReplace,
    *,
    version: int | None,
    dry_run: bool,
    restored: int | None = None,
    is_imported: bool = False,
) -> Response:
    """Save *body* over *job* and answer; with *dry_run*, answer with the effect."""
    definition = _definition(body, name=job.name)
    with pointers_as_sent(body):
        if dry_run:
            return _show_dry_run(job_commands.effect(definition, job=job, version=version))
        return _answer(
            job_commands.change(
                job, definition, version=version, restored=restored, is_imported=is_imported
            )
        )


def _show_dry_run(effect: DryRun) -> Response:
    (document,) = job_documents.of_effects([effect])
    return jsonify(document)


def _answer(job: Job) -> Response:
    (document,) = job_documents.of([job])
    return versioned(document, job.version)
