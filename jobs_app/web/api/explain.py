"""/jobs/{name}/explain: why a job ran, or did not run, at an instant."""

from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any

from flask import Response, jsonify
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from jobs_app.core import clock
from jobs_app.jobs import explain
from jobs_app.jobs.document import NAME
from jobs_app.jobs.explain_context import Verdict
from jobs_app.jobs.explain_when import Day, DayTime, When
from jobs_app.runs import history
from jobs_app.schedules import typed_time
from jobs_app.schedules.schedule import Fire
from jobs_app.schedules.typed_time import NoTime, TypedTime
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import JOBS, problems
from jobs_app.web.api.responses import checked_name
from jobs_app.web.api.schemas.base import Query
from jobs_app.web.api.schemas.fields import EARLIEST, LATEST, Instant
from jobs_app.web.api.schemas.job_input import JobPath
from jobs_app.web.api.schemas.job_output import FireOut, show_fire
from jobs_app.web.api.schemas.runs import RunOut
from jobs_app.web.api.shown_runs import shown_run
from jobs_app.web.session import session

api = LateBlueprint("explain", __name__, abp_tags=[JOBS])


def _when(value: Any) -> When | DayTime | Day:
    """Return the period that *value* names, as long as its smallest unit."""
    try:
        typed = typed_time.parse(value if isinstance(value, str) else "")
        return _span(typed)
    except ValueError as error:
        why = error.why if isinstance(error, NoTime) else str(error).rstrip(".")
        raise PydanticCustomError("not_a_time", "must be a time: {why}.", {"why": why}) from error


def _span(typed: TypedTime) -> When | DayTime | Day:
    """Return the period of *typed*; a duration means that long ago. Raises ValueError."""
    if typed.shift is not None or typed.offset is not None:
        instant = typed_time.instant_of(typed, at=clock.now(), zone=UTC, is_ahead=False)
        _check_range(instant)
        return When(instant, typed.length)
    if typed.clock is None:
        if typed.on is None:
            return Day(days=typed.days or 0)
        _check_range(datetime.combine(typed.on, time(), UTC))
        _check_range(datetime.combine(typed.on, time(), UTC) + timedelta(days=2))
        return Day(typed.on)
    if typed.on is None:
        return DayTime(typed.clock, typed.days or 0, typed.length)
    begin = datetime.combine(typed.on, typed.clock)
    _check_range(begin.replace(tzinfo=UTC))
    return When(begin, typed.length)


def _check_range(instant: datetime) -> None:
    # Two days of margin: the zone of a local time is not known yet.
    if not EARLIEST + timedelta(days=2) <= instant < LATEST:
        raise PydanticCustomError("out_of_range", "must lie between the years 1970 and 8999.")


WhenIn = Annotated[
    When | DayTime | Day,
    BeforeValidator(_when),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 40,
            "description": "A local time in the job's zone, or an instant with its offset (RFC"
            " 3339). A local time may lack its date (today), or have today, yesterday or tomorrow"
            " in its place. A time without seconds means the whole minute, and a day without a"
            " time its first fire; so does `last night`, from 18:00 to 06:00. `2h` is two hours"
            " ago. The default is the newest fire that is over, else the next one, with"
            " the newest run by hand if that is newer; of a job without a schedule, its newest"
            " run.",
            "example": "yesterday 02:30",
        }
    ),
]


class ExplainQuery(Query):
    """The instant to explain; without it, the newest fire or run."""

    at: WhenIn | None = None


class ExplanationOut(BaseModel):
    """Why a job did, did not or will not run at an instant.

    `run` is the run that `sentence` is about, null if there is none. `last_line` is the last
    line that it wrote if it failed, timed out or was lost. `previous` and
    `next` are the fires around `at`, by the schedule at that time.
    """

    at: Instant
    outcome: Verdict
    sentence: str
    run: RunOut | None = Field(description="The run, as GET /runs lists it.")
    last_line: str | None
    previous: FireOut | None
    next: FireOut | None


@api.get("/jobs/<name>/explain", responses={200: ExplanationOut, **problems(404)})
def explain_job(path: JobPath, query: ExplainQuery) -> Response:
    """Explain in one sentence why a job did, did not or will not run at an instant.

    This works for a deleted job too, while its history is kept.
    """
    now = clock.now()
    name = checked_name(NAME, path.name, "job")
    explanation = explain.explain(session(), name, query.at, at=now)
    run_id = explanation.run
    run = None if run_id is None else shown_run(session(), history.get(session(), run_id))
    out = ExplanationOut(
        at=explanation.at,
        outcome=explanation.verdict,
        sentence=explanation.sentence,
        run=None,
        last_line=explanation.last_line,
        previous=_fire(explanation.previous),
        next=_fire(explanation.next),
    )
    return jsonify(out.model_dump(mode="json") | {"run": run})


def _fire(fire: Fire | None) -> FireOut | None:
    return None if fire is None else FireOut(**show_fire(fire))
