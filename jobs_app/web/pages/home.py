"""The first page: what needs attention, what runs, what is next, and how today went."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, url_for

from jobs_app.accounts.permissions import Action
from jobs_app.core import clock
from jobs_app.core.text import counted, rfc3339
from jobs_app.jobs import attention
from jobs_app.jobs.attention import Item, Kind, Step
from jobs_app.jobs.attention_installation import MOST_RUNS, EndingToken
from jobs_app.jobs.attention_queries import RunningFacts
from jobs_app.jobs.upcoming import moved_jobs, upcoming
from jobs_app.runs.day import MOST_COUNTED, Day, day_since
from jobs_app.schedules.clock_changes import ClockChange, clock_changes
from jobs_app.web.pages import day_chart, frame, marks, zones
from jobs_app.web.pages.day_chart import OUTCOMES
from jobs_app.web.permissions import may, principal
from jobs_app.web.session import session

page = Blueprint("home_page", __name__)

#: Lines of each part of the page.
MOST_ITEMS, MOST_RUNNING, MOST_FIRES, MOST_CHANGES = 8, 8, 8, 3

#: The mark of each kind, and its words.
MARKS: dict[Kind, tuple[str, str]] = {
    Kind.NEWER_SCHEMA: ("failed", "newer database"),
    Kind.NO_SCHEDULER: ("failed", "no scheduler"),
    Kind.NO_WORKER: ("failed", "no worker"),
    Kind.FAILING: ("failing", "failing"),
    Kind.LATE: ("late", "late"),
    Kind.MISSED: ("missed", "missed"),
    Kind.PAUSED_BY_FAILURES: ("paused", "paused"),
    Kind.SECRET_GONE: ("attention", "secret missing"),
    Kind.CHANNEL_FAILED: ("attention", "not delivered"),
    Kind.OVERRUN: ("late", "takes long"),
    Kind.LONG_PAUSED: ("paused", "paused"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """Something that needs attention, with links and a command that may help."""

    item: Item
    mark: str
    text: str
    links: tuple[tuple[str, str], ...]
    command: str | None


@dataclass(frozen=True, slots=True)
class Running:
    """A running run; `fraction` is what it reports, `usual` how long such runs take."""

    run: RunningFacts
    fraction: float | None
    message: str
    usual: float | None


@page.get("/")
def show() -> Response:
    """Show what needs attention, what runs, what is next, and how today went."""
    return frame.show("home.html", _build, per_person=True)


def _build() -> Mapping[str, Any]:
    at = clock.now()
    survey = attention.survey(session(), at=at, with_secrets=may(Action.SEE_SECRETS))
    local = at.astimezone(zones.current())
    day = day_since(session(), local.replace(hour=0, minute=0, second=0, microsecond=0))
    facts, coming = survey.installation, upcoming(session(), limit=MOST_FIRES)
    return {
        "lines": [_line(item) for item in survey.items[:MOST_ITEMS]],
        "more_lines": max(0, len(survey.items) - MOST_ITEMS),
        "has_jobs": bool(facts.jobs_by_queue),
        "running": [_running(run) for run in survey.running[:MOST_RUNNING]],
        "more_running": max(0, len(survey.running) - MOST_RUNNING),
        "waiting": _at_most(facts.waiting, MOST_RUNS),
        "queued": _at_most(facts.queued, MOST_RUNS),
        "fires": coming.fires,
        "clock_changes": _clock_lines(clock_changes(coming.timezones, after=at), at=at),
        "ending_tokens": _ending_tokens(facts.ending_tokens),
        "day": day,
        "outcomes": _outcomes(day),
        "bars": day_chart.hours(day, count=(at - day.since) // timedelta(hours=1) + 1),
        "is_busy": bool(survey.running or facts.queued),
    }


def _clock_lines(changes: Sequence[ClockChange], *, at: datetime) -> list[tuple[ClockChange, str]]:
    """Return the first of *changes*, each with what it does to how many jobs."""
    shown = changes[:MOST_CHANGES]
    moved = moved_jobs(session(), shown, after=at)
    return [(change, clock_words(change, jobs)) for change, jobs in zip(shown, moved, strict=True)]


def clock_words(change: ClockChange, jobs: int) -> str:
    """Return the sentence for the hour that *change* moves, in which so many jobs have a time."""
    begin, end = (f"{local:%H:%M}" for local in change.bounds)
    is_gap = change.shift > timedelta()
    sentence = f"{begin} to {end} {'is left out' if is_gap else 'comes twice'}; "
    if not jobs:
        return f"{sentence}no job has a time in it."
    fires = "fires" if jobs == 1 else "fire"
    return (
        f"{sentence}{counted(jobs, 'job')} {fires} {f'at {end}' if is_gap else 'the first time'}."
    )


def _ending_tokens(ending: Sequence[EndingToken]) -> list[EndingToken]:
    """Return those that are the caller's own; admins see all."""
    if may(Action.MANAGE_PEOPLE):
        return [*ending][:MOST_ITEMS]
    return [token for token in ending if token.owner == principal().account][:MOST_ITEMS]


def _line(item: Item) -> Line:
    mark, text = MARKS[item.kind]
    links = tuple(link for step in item.steps for link in _links(item, step))
    return Line(item, mark, text, links[:2], _command(item))


def _links(item: Item, step: Step) -> Iterator[tuple[str, str]]:
    """Yield the button for *step*, as words and address, if there is a page that the caller may."""
    if item.run is not None:
        if step is Step.READ_LOG:
            yield "Log", url_for("run_page.show", run_id=item.run)
        elif step is Step.RETRY and may(Action.CONTROL):
            yield "Retry…", url_for("run_page.ask_retry", run_id=item.run)
        elif step is Step.CANCEL and may(Action.CONTROL):
            yield "Cancel…", url_for("run_page.ask_cancel", run_id=item.run)
    if item.job is None:
        return
    if step is Step.EXPLAIN:
        at = None if item.since is None else rfc3339(item.since)
        yield "Why?", url_for("job_page.why", name=item.job, at=at)
    elif step is Step.RUN and may(Action.START):
        yield "Run…", url_for("job_start_page.show", name=item.job)
    elif step is Step.RESUME and may(Action.CONTROL):
        yield "Resume…", url_for("job_actions_page.resume", name=item.job)
    elif step is Step.EDIT and may(Action.WRITE_JOBS):
        yield "Edit", url_for("job_form_page.edit", name=item.job)


def _command(item: Item) -> str | None:
    """Return the command that helps where no page does."""
    if Step.START_SCHEDULER in item.steps:
        return "jobs-app scheduler"
    if Step.START_WORKER in item.steps and item.queue is not None:
        return f"jobs-app worker --queues {item.queue}"
    if Step.TEST_CHANNEL in item.steps and may(Action.TEST_CHANNELS):
        return f"jobs-app channel test {item.channel}"
    return None


def _running(run: RunningFacts) -> Running:
    progress = run.progress or {}
    fraction, message = progress.get("fraction"), progress.get("message")
    spread = run.spread()
    return Running(
        run,
        fraction if isinstance(fraction, int | float) else None,
        message if isinstance(message, str) else "",
        None if spread is None else spread.p50,
    )


def _at_most(count: int, most: int) -> str:
    """Return a number that was counted up to *most* only."""
    return f"{count:,}+" if count >= most else f"{count:,}"


def _outcomes(day: Day) -> Sequence[tuple[str, str, str]]:
    """Return the outcomes of today: the count, its word, and the address of its runs."""
    totals = day.totals
    since: dict[str, Any] = {"from": rfc3339(day.since)}
    return [
        (
            _at_most(totals[state], MOST_COUNTED),
            marks.word(state),
            url_for("runs_page.show", state=str(state), **since),
        )
        for state in OUTCOMES
        if totals[state]
    ]
