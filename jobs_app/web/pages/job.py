"""One job: how it stands, its schedule, its next fires, its history, and why it did not run."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, request
from pydantic import ValidationError
from sqlalchemy import select

from jobs_app.accounts.permissions import Action
from jobs_app.core import clock
from jobs_app.core.errors import NotFound
from jobs_app.core.states import RunState, Standing
from jobs_app.core.text import did_you_mean, shortened
from jobs_app.core.web_address import public_address
from jobs_app.db.models.jobs import Job
from jobs_app.jobs import conditions, explain, service
from jobs_app.jobs.definition import definition_of
from jobs_app.jobs.document import NAME
from jobs_app.jobs.stats import TRIED, spread
from jobs_app.jobs.warnings import warnings_for
from jobs_app.runs import history, job_history
from jobs_app.runs.job_history import RunSummary
from jobs_app.schedules import timezones
from jobs_app.schedules.union import fires_on_start, parts_of
from jobs_app.web import extension
from jobs_app.web.api.explain import ExplainQuery
from jobs_app.web.api.jobs import find_job
from jobs_app.web.api.responses import checked_name
from jobs_app.web.api.schemas.dump import shown_job_kwargs
from jobs_app.web.api.schemas.job_output import described
from jobs_app.web.pages import charts, frame, markdown, marks, policy_words, zones
from jobs_app.web.permissions import may
from jobs_app.web.session import reading, session

page = Blueprint("job_page", __name__)

#: Runs in the chart, runs in the table, and fires that are shown.
CHARTED, LISTED, FIRES = 100, 20, 10


@page.get("/jobs/<name>")
def show(name: str) -> Response:
    """Show a job."""
    job = job_named(name)
    return frame.show("job.html", lambda: _build(job), job=job)


@page.get("/jobs/<name>/why")
def why(name: str) -> Response:
    """Explain in a sentence why a job did, did not or will not run at an instant."""
    checked_name(NAME, name, "job")
    text = request.args.get("at", "").strip()
    error, explanation, run = None, None, None
    try:
        query = ExplainQuery.model_validate({"at": text or None})
    except ValidationError as problem:
        error = f"The time {shortened(text, 40)!r} {problem.errors()[0]['msg']}"
    else:
        explanation = explain.explain(session(), name, query.at, at=clock.now())
        run = None if explanation.run is None else history.get(session(), explanation.run)
    return frame.render(
        "why.html",
        status=200 if error is None else 422,
        name=name,
        text=text,
        error=error,
        explanation=explanation,
        run=run,
        zones_of=zones_of,
    )


def job_named(name: str) -> Job:
    """Return the job with the name of an address; raises NotFound with the nearest name."""
    try:
        return find_job(name)
    except NotFound as error:
        with reading() as reader:
            names = reader.scalars(select(Job.name).where(Job.deleted_at.is_(None)).limit(5000))
            hint = did_you_mean(name, names)
        raise NotFound(f"{error.detail}{hint}", code=error.code) from error


def _build(job: Job) -> Mapping[str, Any]:
    definition = definition_of(job)
    runs = job_history.newest(session(), job.id, limit=CHARTED)
    (warnings,) = warnings_for(
        session(),
        [definition],
        app=extension.current().celery,
        with_arguments=may(Action.SEE_ARGUMENTS),
    )
    at = clock.now()
    fires = service.next_fires(job, after=at, count=FIRES)
    # Somebody may delete the job while this is read.
    standing = conditions.standings(session(), [job.id], at=at).get(job.id, Standing.ACTIVE)
    return {
        "job": job,
        "definition": definition,
        "description": markdown.folded(job.description),
        "arguments": shown_job_kwargs(definition.kwargs),
        "schedules": [
            (described(part), part.cron, part.timezone) for part in parts_of(definition.schedule)
        ],
        "without_schedule": described(None),
        "policies": policy_words.schedule_words(definition),
        "facts": policy_words.facts(definition),
        "fires": fires,
        "fire_zones": zones_of(job.timezone),
        "fires_on_start": fires_on_start(definition.schedule),
        "warnings": warnings,
        "runs": runs[:LISTED],
        "more_runs": len(runs) > LISTED,
        "summary": summarize(runs),
        "chart": charts.durations,
        "charted": list(reversed(runs)),
        "is_busy": any(run.state in BUSY for run in runs),
        "standing": marks.standing_words(job, standing, last=runs[0].state if runs else None),
        "elsewhere": elsewhere(job),
    }


BUSY = frozenset({RunState.RUNNING, RunState.QUEUED, RunState.RETRYING, RunState.WAITING})


@dataclass(frozen=True, slots=True)
class Summary:
    """How the newest runs went: a share from 0 to 1, and seconds; None where nothing is known."""

    tried: int
    success_rate: float | None
    median: float | None
    p95: float | None
    delay: float | None


def summarize(runs: Sequence[RunSummary]) -> Summary:
    """Return how *runs* went."""
    tried = [run for run in runs if run.state in TRIED]
    succeeded = sum(run.state is RunState.SUCCEEDED for run in tried)
    durations = spread(run.duration_seconds for run in tried if run.duration_seconds is not None)
    delays = spread(run.delay_seconds for run in tried if run.delay_seconds is not None)
    return Summary(
        tried=len(tried),
        success_rate=succeeded / len(tried) if tried else None,
        median=None if durations is None else durations.p50,
        p95=None if durations is None else durations.p95,
        delay=None if delays is None else delays.p50,
    )


def zones_of(name: str) -> list[tuple[str, ZoneInfo]]:
    """Return the zones in which fires are shown: the job's, the page's and UTC, each once."""
    mine = zones.current()
    all_zones = {name: timezones.load(name), mine.key: mine, "UTC": timezones.load("UTC")}
    return list(all_zones.items())


def elsewhere(job: Job) -> list[tuple[str, str]]:
    """Return how to read and start the job without the page: what it is called, and a command."""
    # Never the name that the request gives to this server: others are shown the same.
    api = f"{public_address(extension.current().settings)}/api/v1/jobs/{job.name}"
    header = '-H "Authorization: Bearer $JOBS_TOKEN"'
    name = shlex.quote(job.name)
    return [
        ("Read it with curl", f"curl {header} {api}"),
        ("Run it with curl", f"curl -X POST {header} --json '{{}}' {api}/runs"),
        ("Run it from a shell", f"jobs-app job run {name} --wait"),
        ("As YAML", f"jobs-app job export {name}"),
    ]
