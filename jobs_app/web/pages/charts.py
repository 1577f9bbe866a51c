"""Charts that the server draws as SVG, with attributes and classes but no styles."""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from uuid import UUID

from flask import url_for
from markupsafe import Markup

from jobs_app.core.states import RunState
from jobs_app.core.text import counted
from jobs_app.runs.job_history import RunSummary
from jobs_app.web.pages import marks, zones

#: A strip of runs: the width of a bar with its gap, and the height of all.
BAR_STEP, BAR_WIDTH, STRIP_HEIGHT = 7, 5, 20

#: The chart of durations, in its own units.
CHART_WIDTH, CHART_HEIGHT = 600, 80


def strip(states: Sequence[RunState], *, most: int = 20) -> Markup:
    """Return the last runs of a job as bars, oldest first; height and form tell the states."""
    offset = (most - len(states)) * BAR_STEP
    bars = "".join(_bar(state, offset + index * BAR_STEP) for index, state in enumerate(states))
    return Markup('<svg class="strip" width="{}" height="{}" aria-hidden="true">{}</svg>').format(
        most * BAR_STEP,
        STRIP_HEIGHT,
        Markup(bars),  # noqa: S704 - each bar is Markup: not escaped again, which takes long
    )


def strip_label(states: Sequence[RunState]) -> str:
    """Return the outcomes of the last runs as a sentence."""
    if not states:
        return "no runs yet"
    counts = Counter(marks.word(state) for state in states)
    outcomes = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    return f"last {counted(len(states), 'run')}: {outcomes}"


@cache
def _bar(state: RunState, x: int) -> Markup:
    height, form = marks.BARS[state]
    top = STRIP_HEIGHT - height
    look = f"bar {marks.colour(state)} {form}"
    if form == "outline":
        return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
            look, x + 0.5, top + 0.5, BAR_WIDTH - 1, height - 1
        )
    if form in ("notched", "broken"):
        gap = 2 if form == "notched" else 6
        halves = ((0, (height - gap) // 2), ((height + gap) // 2, (height - gap) // 2))
        rect = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>')
        return Markup("").join(
            rect.format(look, x, top + start, BAR_WIDTH, length) for start, length in halves
        )
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        look, x, top, BAR_WIDTH, height
    )


def durations(runs: Sequence[RunSummary], *, median: float | None) -> Markup:
    """Return how long runs took as bars that lead to them, oldest first, with the median."""
    timed = [run for run in runs if run.duration_seconds is not None]
    if not timed:
        return Markup("")
    longest = max(*(run.duration_seconds or 0 for run in timed), 0.001)
    step = CHART_WIDTH / max(len(timed), 30)
    bars = [_duration_bar(run, index * step, step, longest) for index, run in enumerate(timed)]
    line = Markup("")
    if median is not None:
        y = round(CHART_HEIGHT - median / longest * CHART_HEIGHT, 1)
        line = Markup('<path class="median" d="M0 {}H{}"/>').format(y, CHART_WIDTH)
    label = f"durations of the last {counted(len(timed), 'run')}, up to {zones.duration(longest)}"
    return Markup(
        '<svg class="bars" viewBox="0 0 {} {}" preserveAspectRatio="none" role="group"'
        ' aria-label="{}">{}{}</svg>'
    ).format(CHART_WIDTH, CHART_HEIGHT, label, Markup("").join(bars), line)


def _duration_bar(run: RunSummary, x: float, step: float, longest: float) -> Markup:
    seconds = run.duration_seconds or 0
    height = max(2.0, seconds / longest * CHART_HEIGHT)
    form = marks.BARS[run.state][1]
    label = f"{marks.word(run.state)}, {zones.duration(seconds)}, {zones.exact(run.instant)}"
    return Markup(
        '<a href="{}" tabindex="-1" aria-label="{}"><title>{}</title>'
        '<rect class="bar {} {}" x="{}" y="{}" width="{}" height="{}"/></a>'
    ).format(
        _run_address(run.id),
        label,
        label,
        marks.colour(run.state),
        form if form in ("solid", "hatched") else "solid",
        round(x, 1),
        round(CHART_HEIGHT - height, 1),
        round(max(step - 1, 1), 1),
        round(height, 1),
    )


def _run_address(run_id: UUID) -> str:
    return url_for("run_page.show", run_id=run_id)
