"""The runs of each hour of a day as bars, which the server draws as SVG."""

from datetime import timedelta

from markupsafe import Markup

from jobs_app.core.states import FAILURES, RunState
from jobs_app.core.text import counted
from jobs_app.runs.day import Day
from jobs_app.web.pages import marks, zones

#: The order of outcomes in the sentence about today, and in its bars from below.
OUTCOMES = (
    RunState.SUCCEEDED,
    *FAILURES,
    RunState.MISSED,
    RunState.CANCELLED,
    RunState.SKIPPED,
    RunState.OBSERVED,
)

#: Those in which nothing ran to its end, and nothing is wrong.
IDLE = (RunState.CANCELLED, RunState.SKIPPED, RunState.OBSERVED)

#: A day with a change of the clock has 25 hours.
MOST_HOURS = 25

#: The bars of today: the width of an hour with its gap, and the height of the highest.
HOUR_STEP, HOUR_WIDTH, HOUR_HEIGHT = 14, 11, 40


def hours(day: Day, *, count: int) -> Markup:
    """Return the runs of each hour of today as a bar, failures and missed fires on top."""
    shown = range(min(count, MOST_HOURS))
    highest = max((counts.total() for counts in day.hours.values()), default=0)
    if not highest:
        return Markup("")
    bars = [_bar(day, hour, highest) for hour in shown if day.hours.get(hour)]
    label = f"runs per hour since {zones.exact(day.since)}, up to {counted(highest, 'run')}"
    width = len(shown) * HOUR_STEP
    return Markup(
        '<svg class="bars" role="img" width="{}" height="{}" aria-label="{}">{}'
        '<path class="axis" d="M0 {}H{}"/></svg>'
    ).format(width, HOUR_HEIGHT + 1, label, Markup("").join(bars), HOUR_HEIGHT + 0.5, width)


def _bar(day: Day, hour: int, highest: int) -> Markup:
    counts = day.hours[hour]
    parts = [
        ("ok", counts[RunState.SUCCEEDED]),
        ("idle", sum(counts[state] for state in IDLE)),
        ("warn", counts[RunState.MISSED]),
        ("bad", sum(counts[state] for state in FAILURES)),
    ]
    top, rects = float(HOUR_HEIGHT), []
    for colour, count in parts:
        if count:
            # Two pixels at least: one failure among a thousand runs is seen.
            height = max(2.0, round(count / highest * (HOUR_HEIGHT - 6), 1))
            top -= height
            place = (hour * HOUR_STEP, round(top, 1), HOUR_WIDTH, height)
            rects.append(
                Markup('<rect class="bar {}" x="{}" y="{}" width="{}" height="{}"/>').format(
                    colour, *place
                )
            )
    start = day.since + timedelta(hours=hour)
    ended = ", ".join(f"{counts[state]} {marks.word(state)}" for state in OUTCOMES if counts[state])
    title = f"{zones.short(start)}: {ended}"
    return Markup("<g><title>{}</title>{}</g>").format(title, Markup("").join(rects))
