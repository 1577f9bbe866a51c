"""The list of runs: its filters are in the address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import Blueprint, Response, request, url_for

from jobs_app.core.states import RunState, Trigger, Wait
from jobs_app.core.text import counted
from jobs_app.db.models.runs import Run
from jobs_app.runs import history
from jobs_app.runs.history import Position
from jobs_app.runs.waits import served_queues, waits_for
from jobs_app.web.api import pagination
from jobs_app.web.api.runs import filters_of
from jobs_app.web.api.schemas.fields import seconds_between
from jobs_app.web.api.schemas.runs import RunQuery
from jobs_app.web.pages import frame, marks
from jobs_app.web.pages.parameters import known
from jobs_app.web.pages.queries import read_query
from jobs_app.web.session import session

page = Blueprint("runs_page", __name__)

KIND = "runs_page"

#: Characters of an error that a row has; the rest is on the page of the run.
MOST_ERROR_CHARS = 200

#: New runs are counted up to so many.
MOST_NEWER = 20


@dataclass(frozen=True, slots=True)
class Row:
    """A run in the list; `why` is its error or its reason."""

    run: Run
    seconds: float | None
    why: str


@page.get("/runs")
def show() -> Response:
    """Show the runs that match the filters in the address."""
    query = read_query(RunQuery)
    return frame.show(
        "runs.html",
        partial(_build, query),
        query=query,
        states=[(str(state), marks.word(state)) for state in RunState],
        triggers=[(str(trigger), marks.TRIGGERS[trigger]) for trigger in Trigger],
        sent=request.args,
    )


def _build(query: RunQuery) -> Mapping[str, Any]:
    filters = filters_of(query)
    before = pagination.decode(KIND, query.cursor, Position.read)
    first = _first() if before is None else None
    runs, is_cut, newer = _page(filters, before, first, limit=query.limit + 1)
    shown = runs[: query.limit]
    has_more = bool(shown) and (is_cut or len(runs) > query.limit)
    return {
        "polled": _address(since=_key(shown[0])) if shown and before is None else None,
        "newer": newer,
        "most_newer": MOST_NEWER,
        "newest": _address(),
        "rows": _rows(shown),
        "is_busy": any(run.finished_at is None for run in shown),
        "is_filtered": filters != history.Filter(),
        "next": _next(shown[-1]) if has_more else None,
    }


def _first() -> Position | None:
    """Return the first row that the page was loaded with: a poll shows no newer ones above it."""
    since = pagination.decode(KIND, request.args.get("since") or None, Position.read)
    return since if frame.is_poll() else None


def _page(
    filters: history.Filter, before: Position | None, first: Position | None, *, limit: int
) -> tuple[list[Run], bool, int]:
    """Return runs, whether there are more, and how many newer ones wait above them."""
    if first is None:
        return *history.page(session(), filters, before=before, limit=limit), 0
    return history.page_from(session(), filters, first, limit=limit, most_newer=MOST_NEWER + 1)


def _next(last: Run) -> str:
    return _address(cursor=_key(last))


def _key(run: Run) -> str:
    return pagination.encode(KIND, str(Position.of(run)))


def _address(**parameters: str) -> str:
    """Return the address of this list at another place."""
    sent = known()
    sent.pop("since", None)
    values: dict[str, Any] = {**sent, **parameters}
    return url_for("runs_page.show", **values)


def _rows(runs: Sequence[Run]) -> list[Row]:
    served = served_queues(session(), runs)
    return [_row(run, waits_for(run, is_served=run.queue in served)) for run in runs]


def _row(run: Run, wait: Wait | None) -> Row:
    seconds = seconds_between(run.first_started_at, run.finished_at)
    # The clocks of two machines may differ.
    return Row(run, None if seconds is None else max(0.0, seconds), _why(run, wait))


def _why(run: Run, wait: Wait | None) -> str:
    """Return the error of a run in one line, or its reason, what it waits for, or its note."""
    parts = [] if not run.exit_code else [f"exit code {run.exit_code}"]
    if run.error:
        lines = str(run.error.get("message") or "").strip().splitlines()
        parts.append(": ".join(filter(None, (str(run.error.get("type") or ""), *lines[:1]))))
    elif run.reason:
        parts.append(run.reason)
    elif wait is not None:
        parts.append(wait.words)
    elif run.note:
        parts.append(run.note)
    if run.fires > 1:
        parts.append(f"stands for {counted(run.fires, 'fire')}")
    text = ", ".join(filter(None, parts))
    return text if len(text) <= MOST_ERROR_CHARS else f"{text[:MOST_ERROR_CHARS]}…"
