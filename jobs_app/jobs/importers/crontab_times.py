"""The times of a line in a crontab, as the schedule of a job. Pure, no IO.

A field is read here only if Debian's cron and cronie read it, too: the rest is refused, because
cron starts nothing for it, or reads only its beginning.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs_app.core.errors import InvalidSchedule
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.schedules import cron_expression, cron_fields, cron_fires, timezones

#: The longest delay that RANDOM_DELAY spreads over, seconds.
MOST_JITTER_SECONDS = 86_400

FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_BOUNDS = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_WEEKDAYS = "sun|mon|tue|wed|thu|fri|sat"
_WORDS = ("", "", "", f"|{_MONTHS}", f"|{_WEEKDAYS}")
_TERMS = tuple(
    re.compile(rf"\*(?:/\d+)?|(?:\d+{words})(?:-(?:\d+{words})(?:/\d+)?)?", re.IGNORECASE)
    for words in _WORDS
)
_RANDOM = re.compile(r"(\d*)~(\d*)")
_STEP_OF_ONE = re.compile(r"(\d+)/(\d+)")
_SECONDS = re.compile(r"@(\d+)")
_WEEKDAY = "(?:sun|mon|tue|wed|thu|fri|sat)"
#: A word that schedulers with more fields read as one of them: seconds in front, a year, anacron's
#: delay.
_SURPLUS_FIELD = re.compile(
    rf"(?:[\d?][\d*?/,#~-]*|{_WEEKDAY}(?:[-,]{_WEEKDAY})+)(?![^ \t])", re.IGNORECASE
)
_MACROS = {macro.lower() for macro in cron_fields.MACROS}
#: Macros that only some crons read, with their meaning.
_OTHER_MACROS = {"@every_minute": 60, "@every_second": 1}
_TWO_WEEKS = (
    "Five fields cannot say each second week. For it: jobs-app job create NAME --every 14d"
    " --command …"
)
#: Words that no cron knows, with what to write instead.
_MEANINGS = {
    "@fortnightly": _TWO_WEEKS,
    "@biweekly": f"If it means twice a week: 0 0 * * 1,4. {_TWO_WEEKS}",
    "@bimonthly": "If it means each second month: 0 0 1 */2 *. If twice a month: 0 0 1,15 * *.",
    "@semimonthly": "For twice a month, write 0 0 1,15 * *.",
    "@quarterly": "For the first day of each quarter, write 0 0 1 */3 *.",
    "@semiannually": "For each half year, write 0 0 1 */6 *.",
    "@biannually": "For each half year, write 0 0 1 */6 *.",
    "@weekdays": "For Monday to Friday, write 0 0 * * 1-5.",
    "@weekends": "For Saturday and Sunday, write 0 0 * * 6,0.",
    "@workdays": "For Monday to Friday, write 0 0 * * 1-5.",
    "@noon": "For noon of each day, write 0 12 * * *.",
    "@minutely": "For each minute, write * * * * *.",
    "@nightly": "For midnight of each day, write @daily.",
}


ON_START = (
    "It runs when jobs-app starts, also if the machine did not: let a service of the system start"
    " jobs-app with the machine. Debian's cron and cronie run @reboot once for each start of the"
    " machine, others once for each start of cron."
)


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a line: an expression, an interval or a start, and what differs from cron."""

    cron: str | None = None
    interval_seconds: int | None = None
    on: str | None = None
    differences: tuple[str, ...] = ()

    def schedule(self) -> dict[str, Any]:
        """Return it as the API takes it, without a time zone."""
        if self.cron is not None:
            return {"cron": self.cron}
        if self.on is not None:
            return {"on": self.on}
        return {"interval_seconds": self.interval_seconds}


def macro_times(macro: str) -> Times:
    """Return the times of *macro*, a word that begins with @. Raises Refused."""
    if macro in _MACROS:
        return Times(cron=macro)
    if macro == "@reboot":
        return Times(on="start", differences=(ON_START,))
    seconds = _SECONDS.fullmatch(macro)
    if macro == "@every_minute":
        return Times(cron="* * * * *", differences=("Only some crons read @every_minute.",))
    if macro in _OTHER_MACROS or seconds:
        number = _OTHER_MACROS.get(macro) or int(seconds[1] if seconds else 0)
        if number == 0:
            raise Refused("@0 is no interval.")
        text = "FreeBSD counts from the end of the last run; here from its start, at a fixed pace."
        return Times(interval_seconds=number, differences=(text,))
    if macro == "@every" or re.match(r"@\d", macro):
        raise Refused(
            f"cron knows no {macro}.",
            "For an interval: jobs-app job create NAME --every 1h30m --command …",
        )
    raise Refused(f"{macro} is no time that cron knows.", _instead_of(macro.lower()))


def _instead_of(word: str) -> str:
    """Return what to write instead of *word*, which no cron knows."""
    if word in _MEANINGS:
        return _MEANINGS[word]
    known = (*_MACROS, "@reboot")
    if meant := cron_fields.mistyped(word, known):
        return f"Write {meant}."
    return f"cron knows {', '.join(sorted(known))}. For another time, write five fields."


def field_times(fields: list[str]) -> Times:
    """Return the times of the five *fields*. Raises Refused."""
    differences: list[str] = []
    try:
        texts = [_field(index, text, differences) for index, text in enumerate(fields)]
    except Refused as refusal:
        raise Refused(refusal.problem, refusal.advice or _by_hand(fields)) from refusal
    cron = " ".join(texts)
    try:
        cron_expression.parse(cron, "x")
    except InvalidSchedule as error:
        raise Refused(error.detail) from error
    return Times(cron=cron, differences=tuple(differences))


def _by_hand(fields: list[str]) -> str:
    """Return how to make a job of *fields* that only jobs-app reads; "" if it does not either."""
    cron = " ".join(fields)
    try:
        cron_expression.parse(cron, "x")
    except InvalidSchedule:
        return ""
    return f"If it means here what you want: jobs-app job create NAME --cron '{cron}' --command …"


def _field(index: int, text: str, differences: list[str]) -> str:
    """Return one field as it is written here; note in *differences* what is not the same."""
    name, (low, high) = FIELDS[index], _BOUNDS[index]
    terms = []
    for term in text.split(","):
        if _TERMS[index].fullmatch(term):
            terms.append(term)
        elif random := _RANDOM.fullmatch(term):
            first, last = random[1] or str(low), random[2] or str(high)
            terms.append(f"H({first}-{last})")
            differences.append(
                f"cronie draws the {name} of {term} anew when it starts; here it is drawn once,"
                " from the name of the job."
            )
        elif step := _STEP_OF_ONE.fullmatch(term):
            raise Refused(
                f"Crons do not agree on the {name} {term}: Debian's refuses it, cronie reads"
                f" {step[1]}.",
                f"Write {step[1]}, or a range: {step[1]}-{high}/{step[2]}.",
            )
        else:
            has_blank = any(character.isspace() for character in term)
            raise Refused(
                f"cron reads no {name} {term[:60]!r}, and starts nothing.",
                "It has a blank that is none for cron: type it anew." if has_blank else "",
            )
    return ",".join(terms)


def check_surplus_field(rest: str) -> None:
    """Raise Refused if what follows the times of a line begins with one more field."""
    advice = (
        "Five fields, or a word such as @daily, are before the command: leave out seconds, a year,"
        " or the delay of anacron."
    )
    if rest.startswith("*"):
        raise Refused(
            "The command begins with *: cron takes this for a sixth field and refuses the line.",
            advice,
        )
    if surplus := _SURPLUS_FIELD.match(rest):
        raise Refused(
            f"The command begins with {surplus[0]!r}, which is a field of a time, and no program.",
            advice,
        )


def merged_fires(cron: str, zone_name: str, *, now: datetime) -> str:
    """Return how a clock change of the next year differs from cron's; "" if it does not.

    cron starts one run for each of the times that the clock skips, and jobs-app starts one.
    """
    zone, expression = timezones.load(zone_name), cron_expression.parse(cron, "x")
    today = now.astimezone(zone).date()
    for number in range(0 if expression.is_real_time else 366):
        day = today + timedelta(days=number)
        if timezones.plain_midnight(zone, day) is not None or not expression.fires_on_day(day):
            continue
        count = len(expression.minutes_of_day) - len(
            cron_fires.fires_on_changed_day(expression, zone, day)
        )
        if count > 0:
            return (
                f"The clock skips {count + 1} of its times on {day}: cron starts a run for each"
                " of them afterwards, and here one run starts."
            )
    return ""
