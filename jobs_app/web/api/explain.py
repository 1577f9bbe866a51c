"""/jobs/{name}/explain: why a job ran, or did not run, at an instant."""

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any

from flask import Response, jsonify
from flask_openapi3 import APIBlueprint
from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from jobs_app.core import clock
from jobs_app.jobs import explain
from jobs_app.jobs.document import NAME
from jobs_app.jobs.explain_context import Verdict
from jobs_app.jobs.explain_when import Day, DayTime, When
from jobs_app.runs import history
from jobs_app.schedules.schedule import Fire
from jobs_app.web.api.openapi import JOBS, problems
from jobs_app.web.api.responses import checked_name
from jobs_app.web.api.schemas.base import Query
from jobs_app.web.api.schemas.fields import EARLIEST, LATEST, Instant
from jobs_app.web.api.schemas.job_input import JobPath
from jobs_app.web.api.schemas.job_output import FireOut, show_fire
from jobs_app.web.api.schemas.runs import RunOut, show_run
from jobs_app.web.session import session

api = APIBlueprint("explain", __name__, abp_tags=[JOBS])

_DAY = re.compile(r"(\d{4}-\d{2}-\d{2})|(today|yesterday|tomorrow)", re.ASCII | re.IGNORECASE)
_TIME = re.compile(
    r"(?:(\d{4}-\d{2}-\d{2})[Tt ]|(?:(today|yesterday|tomorrow) +)?)"
    r"(\d{1,2}:\d{2})(:\d{2})?(\.\d{1,6})?([Zz]|[+-]\d{2}:\d{2})?",
    re.ASCII | re.IGNORECASE,
)
_DAYS = {"": 0, "today": 0, "yesterday": -1, "tomorrow": 1}


def _when(value: Any) -> When | DayTime | Day:
    """Return the period that *value* names, as long as its smallest unit."""
    if isinstance(value, str) and (match := _DAY.fullmatch(value.strip())):
        return _day(*match.groups(default=""))
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or (match[5] and not match[4]) or (match[6] and not match[1]):
        raise PydanticCustomError(
            "not_a_time",
            "must be a local time of the job's zone, as in 2026-03-08 02:30, 02:30 (today),"
            " today 02:30, yesterday 02:30 or tomorrow 02:30, a day, as in 2026-03-08 or yesterday,"
            " or an instant with its offset, as in 2026-03-08T07:30:00Z.",
        )
    day, word, minute, second, fraction, offset = match.groups(default="")
    minute = minute.zfill(len("00:00"))
    length = timedelta(seconds=1) if second else timedelta(minutes=1)
    if fraction:
        length = timedelta(microseconds=1)
    try:
        if not day:
            clock_time = time.fromisoformat(f"{minute}{second}{fraction}")
            return DayTime(clock_time, _DAYS[word.lower()], length)
        begin = datetime.fromisoformat(f"{day}T{minute}{second}{fraction}{offset.upper()}")
        in_utc = begin.astimezone(UTC) if offset else begin.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise PydanticCustomError("not_a_time", "must be a time that exists.") from error
    _check_range(in_utc)
    return When(begin, length)


def _day(day: str, word: str) -> Day:
    if word:
        return Day(days=_DAYS[word.lower()])
    try:
        begin = datetime.fromisoformat(day)
    except ValueError as error:
        raise PydanticCustomError("not_a_time", "must be a day that exists.") from error
    _check_range(begin.replace(tzinfo=UTC))
    _check_range(begin.replace(tzinfo=UTC) + timedelta(days=2))
    return Day(begin.date())


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
            " time its first fire. The default is the newest fire that is over, else the next"
            " one; of a job without a schedule, its newest run.",
            "example": "yesterday 02:30",
        }
    ),
]


class ExplainQuery(Query):
    """The instant to explain; without it, the newest fire or run."""

    at: WhenIn | None = None


class ExplanationOut(BaseModel):
    """Why a job did, did not or will not run at an instant.

    `run` is the run that `sentence` is about, null if there is none. `previous` and
    `next` are the fires around `at`, by the schedule at that time.
    """

    at: Instant
    outcome: Verdict
    sentence: str
    run: RunOut | None = Field(description="The run, as GET /runs lists it.")
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
    run = None if run_id is None else show_run(history.get(session(), run_id))
    out = ExplanationOut(
        at=explanation.at,
        outcome=explanation.verdict,
        sentence=explanation.sentence,
        run=None,
        previous=_fire(explanation.previous),
        next=_fire(explanation.next),
    )
    return jsonify(out.model_dump(mode="json") | {"run": run})


def _fire(fire: Fire | None) -> FireOut | None:
    return None if fire is None else FireOut(**show_fire(fire))
