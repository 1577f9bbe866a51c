"""The list of jobs: filters and order in the address, how each stands, its last runs."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint, Response, url_for

from jobs_app.core import clock
from jobs_app.core.states import JobSort, RunState, Standing
from jobs_app.db.models.jobs import Job, schedule_of
from jobs_app.jobs import conditions, listing
from jobs_app.jobs.listing import Position
from jobs_app.runs.recent import RecentRun, recent_runs
from jobs_app.web.api import pagination
from jobs_app.web.api.jobs import read_position
from jobs_app.web.api.schemas.job_input import JobQuery
from jobs_app.web.api.schemas.job_output import described
from jobs_app.web.pages import charts, frame, marks
from jobs_app.web.pages.parameters import known
from jobs_app.web.pages.queries import read_query
from jobs_app.web.session import session

page = Blueprint("jobs_page", __name__)

KIND = "jobs_page"

ORDERS = {
    JobSort.ATTENTION: "what needs attention first",
    JobSort.NAME: "by name",
    JobSort.NEXT: "next fire first",
    JobSort.LAST: "newest run first",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A job in the list: the mark for how it stands, and its last runs, oldest first."""

    job: Job
    mark: str
    text: str
    last: RecentRun | None
    schedule: str
    states: Sequence[RunState]
    takes: float | None


@page.get("/jobs")
def show() -> Response:
    """Show the jobs that match the filters in the address."""
    query = read_query(JobQuery, sort=JobSort.ATTENTION)
    return frame.show("jobs.html", partial(_build, query), query=query, facets=_facets)


def _facets() -> Mapping[str, Any]:
    """Return what the filters offer, with the number of jobs that each finds alone."""
    counts = listing.facets(session(), at=clock.now())
    states = [(str(state), marks.word(state), counts.states[state]) for state in Standing]
    return {
        "total": counts.total,
        "states": states,
        "tags": counts.tags,
        "queues": counts.queues,
        "orders": {str(order): text for order, text in ORDERS.items()},
    }


def _build(query: JobQuery) -> Mapping[str, Any]:
    at = clock.now()
    fields = {name: getattr(query, name) for name in listing.Filter.__slots__}
    matching = listing.Filter(**fields)
    after = pagination.decode(
        f"{KIND} {query.sort}", query.cursor, partial(read_position, query.sort)
    )
    found, is_cut = listing.page(
        session(), matching, after=after, limit=query.limit + 1, sort=query.sort, at=at
    )
    shown = found[: query.limit]
    ids = [job.id for job, _ in shown]
    recent = recent_runs(session(), ids)
    standings = conditions.standings(session(), ids, at=at)
    rows = [
        _row(job, standings[job.id], recent.get(job.id, []))
        for job, _ in shown
        if job.id in standings
    ]
    has_more = is_cut or len(found) > query.limit
    return {
        "rows": rows,
        "is_busy": any(row.mark == "running" for row in rows),
        "is_filtered": matching != listing.Filter(),
        "next": _next(query, shown) if has_more and shown else None,
        "strip": charts.strip,
        "strip_label": charts.strip_label,
    }


def _next(query: JobQuery, shown: Sequence[tuple[Job, Position]]) -> str:
    cursor = pagination.encode(f"{KIND} {query.sort}", str(shown[-1][1]))
    parameters: dict[str, Any] = {**known(), "cursor": cursor}
    return url_for("jobs_page.show", **parameters)


def _row(job: Job, standing: Standing, runs: Sequence[RecentRun]) -> Row:
    last = runs[-1] if runs else None
    mark, text = marks.standing_words(job, standing, last=last.state if last else None)
    took = [run.duration_seconds for run in runs if run.state is RunState.SUCCEEDED]
    known = [seconds for seconds in took if seconds is not None]
    return Row(
        job=job,
        mark=mark,
        text=text,
        last=last,
        schedule=described(schedule_of(job)),
        states=[run.state for run in runs],
        takes=statistics.median(known) if known else None,
    )
