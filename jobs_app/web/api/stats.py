"""/jobs/{name}/stats: how a job has done."""

from typing import Annotated

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint, Tag
from pydantic import BaseModel, Field

from jobs_app.core.errors import NotFound
from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.jobs import service, stats
from jobs_app.jobs.definition import NAME
from jobs_app.jobs.stats import Spread
from jobs_app.runs.retention import Retention
from jobs_app.web import extension
from jobs_app.web.api.openapi import problems
from jobs_app.web.api.schemas.base import Query
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.api.schemas.job_input import JobPath
from jobs_app.web.api.schemas.job_output import LastRun
from jobs_app.web.session import session

api = APIBlueprint(
    "stats", __name__, abp_tags=[Tag(name="jobs", description="What runs, and when.")]
)


class StatsQuery(Query):
    """About how many of the newest runs `recent` is."""

    last: Annotated[int, Field(ge=1, le=1000)] = 100


class CountsOut(BaseModel):
    """How many runs there ever were; neither falls when rows are deleted by retention."""

    total: int
    by_state: dict[RunState, int]


class SpreadOut(BaseModel):
    """Where seconds lie: half of them up to `p50`, 95 of 100 up to `p95`."""

    p50: float
    p95: float
    max: float


class RecentOut(BaseModel):
    """The newest runs that succeeded or failed.

    `duration_seconds` is from start to end, `delay_seconds` from the due instant to the start.
    """

    runs: int
    success_rate: float | None
    duration_seconds: SpreadOut | None
    delay_seconds: SpreadOut | None


class KeptOut(BaseModel):
    """How much of the history is on record, and how long it stays, defaults filled in."""

    runs: int
    oldest_at: Instant | None
    keep_runs: int
    keep_days: int
    keep_failed_days: int
    keep_log_days: int


class StatsOut(BaseModel):
    """How a job has done. Rates are between 0 and 1, of the runs that succeeded or failed."""

    job: str
    runs: CountsOut
    success_rate: float | None
    recent: RecentOut
    failures_in_a_row: int
    last_success: LastRun | None
    last_failure: LastRun | None
    kept: KeptOut


@api.get("/jobs/<name>/stats", responses={200: StatsOut, **problems(404)})
def job_stats(path: JobPath, query: StatsQuery) -> Response:
    """Count a job's runs by outcome, and say how long they take and how late they start."""
    if not NAME.fullmatch(path.name):
        raise NotFound("There is no job of that name.", code="job_not_found")
    job = service.get(session(), path.name)
    found = stats.of_job(session(), job, last=query.last)
    limits = Retention.from_json(job.retention).limits(extension.current().settings)
    out = StatsOut(
        job=job.name,
        runs=CountsOut(total=sum(found.counts.values()), by_state=found.counts),
        success_rate=found.success_rate,
        recent=RecentOut(
            runs=found.recent.runs,
            success_rate=found.recent.success_rate,
            duration_seconds=_spread(found.recent.duration),
            delay_seconds=_spread(found.recent.delay),
        ),
        failures_in_a_row=job.failures_in_a_row,
        last_success=_run(found.last_success),
        last_failure=_run(found.last_failure),
        kept=KeptOut(
            runs=found.kept,
            oldest_at=found.oldest_at,
            keep_runs=limits.keep_runs,
            keep_days=limits.keep_days,
            keep_failed_days=limits.keep_failed_days,
            keep_log_days=limits.keep_log_days,
        ),
    )
    return jsonify(out.model_dump(mode="json"))


def _spread(found: Spread | None) -> SpreadOut | None:
    return None if found is None else SpreadOut(p50=found.p50, p95=found.p95, max=found.longest)


def _run(run: Run | None) -> LastRun | None:
    return None if run is None else LastRun.model_validate(run, from_attributes=True)
