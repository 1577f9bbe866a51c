"""States as marks: a shape, a colour and a word, so that no state is told by its colour alone.

A circle is fine or on its way, a diamond broke, a triangle wants a look.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from markupsafe import Markup

from jobs_app.core.states import RunState, Standing
from jobs_app.db.models.jobs import Job

_CIRCLE = '<circle cx="8" cy="8" r="6.5"/>'
_DIAMOND = '<path d="M8 .8 15.2 8 8 15.2.8 8z"/>'
_OPEN_DIAMOND = '<path d="M12.4 5.2 8 .8.8 8 8 15.2l4.4-4.4"/>'
_EYE = '<path d="M.8 8Q8-1 15.2 8 8 17 .8 8z"/><circle cx="8" cy="8" r="2"/>'
_TRIANGLE = '<path d="M8 1.5 15.3 14.5H.7z"/>'


@dataclass(frozen=True, slots=True)
class Mark:
    """The look of a state: its word, the class of its colour, and its drawing in 16 x 16."""

    word: str
    colour: str
    drawing: str


def _mark(word: str, colour: str, outline: str, sign: str = "") -> Mark:
    return Mark(word, colour, outline + (f'<path d="{sign}"/>' if sign else ""))


MARKS: dict[str, Mark] = {
    "succeeded": _mark("succeeded", "ok", _CIRCLE, "m5 8.2 2.2 2.2L11.2 6"),
    "failed": _mark("failed", "bad", _DIAMOND, "m6 6 4 4m0-4-4 4"),
    "timed_out": _mark("timed out", "bad", _DIAMOND, "M8 4.8V8l2 1.6"),
    "lost": _mark("lost", "bad", _OPEN_DIAMOND, "M6.4 6.6a1.6 1.6 0 1 1 1.6 2v.6M8 11v.2"),
    "missed": _mark("missed", "warn", _TRIANGLE, "M8 6v4m0 2v.2"),
    "retrying": _mark("retrying", "warn", _CIRCLE, "M10.8 6.6A3.2 3.2 0 1 0 11.2 8m0-2.6v2H9.2"),
    "running": _mark("running", "run", _CIRCLE, "M6.4 5v6l4.6-3z"),
    "waiting": Mark("waiting", "idle", '<circle cx="8" cy="8" r="6.5" stroke-dasharray="2 2"/>'),
    "queued": _mark("queued", "idle", _CIRCLE),
    "skipped": _mark("skipped", "idle", _CIRCLE, "m5 5.5 2.5 2.5L5 10.5m3.5-5L11 8l-2.5 2.5"),
    "cancelled": _mark("cancelled", "idle", _CIRCLE, "M5 8h6"),
    "observed": _mark("observed", "idle", _EYE),
    "observing": _mark("only watches", "idle", _EYE),
    "paused": _mark("paused", "idle", "", "M5.5 3v10m5-10v10"),
    "ended": _mark("ended", "idle", "", "M4 4h8v8H4z"),
    "active": _mark("active", "ok", _CIRCLE, "m5 8.2 2.2 2.2L11.2 6"),
    "failing": _mark("failing", "bad", _DIAMOND, "m6 6 4 4m0-4-4 4"),
    "late": _mark("late", "warn", _TRIANGLE, "M8 6v4m0 2v.2"),
    "never_run": _mark("has not run", "idle", _CIRCLE),
    "no_next_fire": _mark("has no next fire", "idle", _CIRCLE),
    "attention": _mark("needs attention", "warn", _TRIANGLE, "M8 6v4m0 2v.2"),
}

#: Height and form of a state in a strip of runs; the whole strip is 20 high.
BARS: dict[str, tuple[int, str]] = {
    "succeeded": (10, "solid"),
    "failed": (20, "solid"),
    "timed_out": (20, "notched"),
    "lost": (20, "broken"),
    "missed": (16, "outline"),
    "retrying": (16, "solid"),
    "running": (20, "hatched"),
    "waiting": (4, "outline"),
    "queued": (4, "outline"),
    "skipped": (4, "solid"),
    "cancelled": (10, "outline"),
    "observed": (10, "notched"),
}


def word(state: str) -> str:
    """Return the word for *state*."""
    mark = MARKS.get(str(state))
    return str(state).replace("_", " ") if mark is None else mark.word


def colour(state: str) -> str:
    """Return the class of the colour of *state*: ok, bad, warn, run or idle."""
    mark = MARKS.get(str(state))
    return "idle" if mark is None else mark.colour


@lru_cache(maxsize=1024)
def mark(state: str, text: str | None = None, *, is_bare: bool = False) -> Markup:
    """Return the mark of *state* with its word, or with *text* in place of the word.

    A bare mark has its word for screen readers only.
    """
    label = word(state) if text is None else text
    shape = MARKS.get(str(state), MARKS["queued"])
    drawing = Markup(shape.drawing)  # noqa: S704 - a constant of this module
    svg = Markup('<svg class="mark" viewBox="0 0 16 16" aria-hidden="true">{}</svg>').format(
        drawing
    )
    text_class = "visually-hidden" if is_bare else "state-word"
    spins = " spins" if state == "running" else ""
    return Markup('<span class="state {}{}">{} <span class="{}">{}</span></span>').format(
        shape.colour, spins, svg, text_class, label
    )


def standing_words(job: Job, standing: Standing, *, last: RunState | None) -> tuple[str, str]:
    """Return the name of the mark for how *job* stands, and its words.

    A job of which nothing else is to be said has those of its last run.
    """
    failures = job.failures_in_a_row + job.failures_carried
    if standing is Standing.FAILING and failures > 1:
        return str(standing), f"failing, {failures} in a row"
    if standing is Standing.ACTIVE and last is not None:
        return str(last), word(last)
    return str(standing), word(standing)


#: Why a run exists, in words.
TRIGGERS = {
    "schedule": "schedule",
    "catchup": "caught up",
    "manual": "by hand",
    "retry_of": "retry",
    "backfill": "backfill",
}


def trigger_words(run: Any) -> str:
    """Return why *run* exists: its schedule, or who started it."""
    kind = TRIGGERS.get(str(run.trigger), str(run.trigger))
    return f"{kind}, {run.triggered_by}" if run.triggered_by else kind
