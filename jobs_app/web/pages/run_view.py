"""What the page of a run shows, beyond its record: its attempts as a line, its result as a tree."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs_app.core.states import FINAL, RunState, Trigger
from jobs_app.core.text import counted, shortened
from jobs_app.db.models.runs import Run
from jobs_app.web.api.schemas.runs import AttemptOut
from jobs_app.web.pages import marks, zones

#: The line of attempts is so long, in its own units; nothing on it is shorter than this.
LINE, LEAST = 1000.0, 4.0

#: Levels of a result that are open at first, and most that are a tree: what is deeper is text.
OPEN_LEVELS, MOST_LEVELS = 3, 20
#: Most parts of a result that are shown, most of one list, and most characters of one text.
MOST_NODES, MOST_ITEMS, MOST_CHARS = 2000, 200, 10_000
#: After so many characters of texts, the others are cut short.
MOST_ALL_CHARS, SHORT_CHARS = 40_000, 100


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the time of a run: a wait, or an attempt with its number and state."""

    start: datetime
    end: datetime
    attempt: int | None
    state: str
    x: float = 0.0
    width: float = 0.0

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end - self.start).total_seconds()


def segments(run: Run, attempts: Sequence[AttemptOut], *, at: datetime) -> list[Segment]:
    """Return the waits and attempts of a run in order, with their places on the line.

    While it runs, *at* is the end of its last attempt, rounded so that it changes rarely.
    """
    parts: list[Segment] = []
    last = run.instant
    for one in attempts:
        if one.started_at is None:
            continue
        end = one.finished_at or _rounded(one.started_at, at)
        if one.started_at > last:
            parts.append(Segment(last, one.started_at, None, RunState.WAITING))
        parts.append(Segment(one.started_at, max(end, one.started_at), one.attempt, one.state))
        last = max(last, end)
    return _placed(parts)


def line_text(parts: Sequence[Segment]) -> str:
    """Return the line of attempts as a sentence."""
    return "; ".join(map(_segment_text, parts))


def _segment_text(part: Segment) -> str:
    length = zones.duration(part.seconds)
    if part.attempt is None:
        return f"waited {length}"
    took = "" if part.state == RunState.RUNNING else f", {length}"
    return f"attempt {part.attempt} {marks.word(part.state)}{took}"


def _rounded(start: datetime, at: datetime) -> datetime:
    """Return *at*, later by up to a tenth of the time since *start*."""
    seconds = max(1, int((at - start).total_seconds()))
    step = 10 ** max(0, len(str(seconds)) - 2) * (5 if seconds >= 10 else 1)
    return start + timedelta(seconds=-(-seconds // step) * step)


def _placed(parts: list[Segment]) -> list[Segment]:
    whole = sum(part.seconds for part in parts)
    widths = [max(LEAST, LINE * part.seconds / whole if whole else LINE) for part in parts]
    scale, x, placed = LINE / (sum(widths) or 1), 0.0, []
    for part, width in zip(parts, widths, strict=True):
        room = round(width * scale, 1)
        placed.append(
            Segment(part.start, part.end, part.attempt, part.state, round(x, 1), max(room, 1.0))
        )
        x += room
    return placed


@dataclass(frozen=True, slots=True)
class Node:
    """A value in a result: its name, its own text, or its parts under a word for them."""

    name: str
    text: str
    kind: str
    parts: tuple["Node", ...] = ()
    is_open: bool = False
    left_out: int = 0


def tree(value: Any, name: str = "") -> Node:
    """Return *value* as a tree; numbers are exact, and what is too much or too deep is counted."""
    return _Tree().node(name, value, 0)


class _Tree:
    def __init__(self) -> None:
        self._left, self._chars_left = MOST_NODES, MOST_ALL_CHARS

    def node(self, name: str, value: Any, level: int) -> Node:
        self._left -= 1
        if not isinstance(value, dict | list) or not value:
            return Node(name, self._cut(_text(value)), _kind(value))
        if level >= MOST_LEVELS:
            return Node(name, self._cut(_deep_text(value)), "text")
        named = list(value.items() if isinstance(value, dict) else enumerate(value))
        parts: list[Node] = []
        for key, item in named[:MOST_ITEMS]:
            if self._left <= 0:
                break
            parts.append(self.node(str(key), item, level + 1))
        noun = "field" if isinstance(value, dict) else "item"
        left_out = len(named) - len(parts)
        is_open = level < OPEN_LEVELS
        return Node(name, counted(len(named), noun), noun, tuple(parts), is_open, left_out)

    def _cut(self, text: str) -> str:
        cut = shortened(text, MOST_CHARS if self._chars_left > 0 else SHORT_CHARS)
        self._chars_left -= len(cut)
        return cut


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else "word"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _deep_text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "This is nested too deep to be shown."


#: The beginning of the sentence that says why a run exists.
_WHY = {
    Trigger.SCHEDULE: "A fire of the schedule",
    Trigger.CATCHUP: "A fire of the schedule that was caught up with",
    Trigger.MANUAL: "Started by hand",
    Trigger.RETRY_OF: "A repetition",
    Trigger.BACKFILL: "A fire of the schedule that was filled in afterwards",
}


def why(run: Run) -> str:
    """Return why the run exists, and who started it."""
    who = f" by {run.triggered_by}" if run.triggered_by else ""
    return f"{_WHY[run.trigger]}{who}"


#: The reasons of runs that did not end by themselves, or did not run.
_REASONS = {
    "catchup_last": "catchup_policy last runs only the newest of the fires that were missed",
    "catchup_limit": "catchup_max_runs allows fewer fires",
    "catchup_window": "the fire is older than catchup_window_seconds",
    "deadline": "a scheduler looked only after its deadline, and nothing is caught up with",
    "job_deleted": "its job was deleted before it started",
    "outage_folded": "no scheduler was running; it stands for all fires of that outage",
    "overlap": "another run of the job had not ended",
    "scheduler_down": "no scheduler was running when it was due",
    "superseded": "a newer fire took its place while it waited",
}


def reason(run: Run) -> str | None:
    """Return the reason of a run in words; a sentence of a person stays as it is."""
    if run.reason is None or run.reason == run.state:
        return None
    return _REASONS.get(run.reason, run.reason)


def can_cancel(run: Run) -> bool:
    """Tell whether there is anything to cancel."""
    return run.state not in FINAL


def kill_at(run: Run, asked_at: datetime | None) -> datetime | None:
    """Return when a run that was asked to end is killed; None if it is killed at once."""
    if asked_at is None or run.cancel_mode != "graceful":
        return None
    return asked_at + timedelta(seconds=run.kill_grace_seconds)
