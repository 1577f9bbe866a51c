"""/jobs/{name}/stats: success rate, durations and delays of a job."""

from dataclasses import asdict
from typing import Annotated

from flask import Response, jsonify
from pydantic import BaseModel, Field

from jobs_app.core import clock
from jobs_app.core.states import RunState
from jobs_app.jobs import observation, stats
from jobs_app.runs.retention import Retention
from jobs_app.web import extension
from jobs_app.web.api.jobs import find_job
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import JOBS, problems
from jobs_app.web.api.schemas.base import Query
from jobs_app.web.api.schemas.fields import Instant
from jobs_app.web.api.schemas.job_input import JobPath
from jobs_app.web.api.schemas.job_output import LastRun, show_last_run
from jobs_app.web.session import session

api = LateBlueprint("stats", __name__, abp_tags=[JOBS])


class StatsQuery(Query):
    """The number of newest runs that `recent` covers."""

    last: Annotated[int, Field(ge=1, le=1000)] = 100


class CountsOut(BaseModel):
    """The number of all runs ever; retention does not lower it."""

    total: int
    by_state: dict[RunState, int]


class SpreadOut(BaseModel):
    """A distribution in seconds: the median, the 95th percentile and the maximum."""

    p50: float
    p95: float
    max: float


class RecentOut(BaseModel):
    """The newest runs that succeeded or failed.

    `duration_seconds` is from start to end; `delay_seconds` from the due instant to the start.
    """

    runs: int
    success_rate: float | None
    duration_seconds: SpreadOut | None
    delay_seconds: SpreadOut | None


class KeptOut(BaseModel):
    """The history on record, and how long it is kept, with defaults filled in."""

    runs: int
    oldest_at: Instant | None
    keep_runs: int
    keep_days: int
    keep_failed_days: int
    keep_log_days: int


class ObservationOut(BaseModel):
    """The fires from `begin` to `until`, a week at most, of a job that only watches.

    `expected` are those of its schedule, without those of pauses; `missed` would not have run
    here, because no scheduler was there in time.
    """

    since: Instant
    begin: Instant
    until: Instant
    expected: int
    observed: int
    missed: int


class StatsOut(BaseModel):
    """The statistics of a job. Rates are from 0 to 1, over the runs that succeeded or failed.

    `observation` is null unless the job only watches (`observe`).
    """

    job: str
    runs: CountsOut
    success_rate: float | None
    recent: RecentOut
    failures_in_a_row: int
    last_success: LastRun | None
    last_failure: LastRun | None
    kept: KeptOut
    observation: ObservationOut | None


@api.get("/jobs/<name>/stats", responses={200: StatsOut, **problems(404)})
def job_stats(path: JobPath, query: StatsQuery) -> Response:
    """Return a job's runs by outcome, how long they take and how late they start."""
    job = find_job(path.name)
    summary = stats.of_job(session(), job, last=query.last)
    observed = observation.of_job(session(), job, at=clock.now())
    limits = Retention.from_json(job.retention).limits(extension.current().settings)
    out = StatsOut(
        job=job.name,
        runs=CountsOut(total=sum(summary.counts.values()), by_state=summary.counts),
        success_rate=summary.success_rate,
        recent=RecentOut.model_validate(summary.recent, from_attributes=True),
        failures_in_a_row=job.failures_in_a_row,
        last_success=show_last_run(summary.last_success),
        last_failure=show_last_run(summary.last_failure),
        kept=KeptOut(runs=summary.kept, oldest_at=summary.oldest_at, **asdict(limits)),
        observation=None if observed is None else ObservationOut(**asdict(observed)),
    )
    return jsonify(out.model_dump(mode="json"))
