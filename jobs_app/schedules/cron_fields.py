"""The five fields of a cron expression: read, checked one by one, written as cronsim reads them.

Pure, no IO.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import blake2b

from jobs_app.core.errors import FieldError, InvalidSchedule
from jobs_app.core.text import closest, counted
from jobs_app.schedules import cron_messages, month_days

MAX_LENGTH = 256
MACROS = {
    "@HOURLY": "0 * * * *",
    "@DAILY": "0 0 * * *",
    "@MIDNIGHT": "0 0 * * *",
    "@WEEKLY": "0 0 * * 0",
    "@MONTHLY": "0 0 1 * *",
    "@YEARLY": "0 0 1 1 *",
    "@ANNUALLY": "0 0 1 1 *",
}

#: The longest month has so many days before its last.
_MOST_BEFORE_LAST = 30


#: The least likeness of a word and the one that was meant, from 0 to 1.
_TYPING_ERROR = 0.8


def mistyped(word: str, known: Collection[str]) -> str | None:
    """Return the word of *known* that *word* is with a typing error, None if it is none.

    Words such as @biweekly are close to others, and mean another time.
    """
    meant = closest(word, known, cutoff=_TYPING_ERROR)
    return meant if meant is not None and word[:2] == meant[:2] else None


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five fields: its bounds, its names, and the range for `H`."""

    name: str
    low: int
    high: int
    spread: tuple[int, int]
    names: dict[str, int] = field(default_factory=dict)


_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
_FIELDS = (
    _Field("minute", 0, 59, (0, 59)),
    _Field("hour", 0, 23, (0, 23)),
    # Every month has a 28th, so that the day of `H` exists in each month.
    _Field("day-of-month", 1, 31, (1, 28)),
    _Field("month", 1, 12, (1, 12), {name: n for n, name in enumerate(_MONTHS, 1)}),
    _Field("day-of-week", 0, 7, (0, 6), {name: n for n, name in enumerate(_WEEKDAYS)}),
)
_TERM = re.compile(
    r"(?:(?P<star>\*)"
    r"|(?P<hash>H)(?:\((?P<low>[0-9]+)-(?P<high>[0-9]+)\))?"
    r"|(?P<first>[0-9]+|[A-Z]+)(?:-(?P<last>[0-9]+|[A-Z]+))?)"
    r"(?:/(?P<step>[0-9]+))?"
)
_NTH_WEEKDAY = re.compile(r"(?P<weekday>[0-9]+|[A-Z]+)#(?P<nth>[0-9]+)")
_LAST_WEEKDAY = re.compile(r"(?P<weekday>[0-9]+)L")


class _Unreadable(Exception):
    """A field that cannot be read; the text is for the author of the expression."""

    def __init__(self, detail: str, code: str = "syntax") -> None:
        super().__init__(detail)
        self.error = FieldError("/cron", code, detail)


def resolve(cron: str, seed: str) -> str:
    """Return *cron* as five fields without macros or `H`, with each term checked."""
    try:
        fields = _split(cron)
    except _Unreadable as error:
        raise refusal([error.error]) from error
    resolved, errors = [], []
    for rule, text in zip(_FIELDS, fields, strict=True):
        try:
            resolved.append(",".join(_term(rule, term, seed) for term in text.split(",")))
        except _Unreadable as error:
            errors.append(error.error)
    if errors:
        raise refusal(errors)
    return " ".join(resolved)


def refusal(errors: list[FieldError]) -> InvalidSchedule:
    return InvalidSchedule(errors[0].detail, errors=errors)


def _split(cron: str) -> list[str]:
    """Return the five fields of *cron* in capitals, with its macro replaced."""
    if len(cron) > MAX_LENGTH:
        raise _Unreadable(
            f"The expression has {counted(len(cron), 'character')}; {MAX_LENGTH} are allowed.",
            "too_long",
        )
    if not cron.strip():
        raise _Unreadable("The expression is empty; every day at 02:30 is 30 2 * * *.", "required")
    if foreign := cron_messages.foreign_form(cron.strip()):
        raise _Unreadable(*foreign)
    if not re.fullmatch(r"[\x20-\x7e\t]*", cron):
        raise _Unreadable("The expression has characters that no cron expression has.")
    text = cron.strip().upper()
    if text.startswith("@"):
        text = _macro(text)
    fields = text.split()
    if len(fields) != len(_FIELDS):
        raise _Unreadable(*cron_messages.not_five(fields))
    return fields


def _macro(text: str) -> str:
    if text in MACROS:
        return MACROS[text]
    if text == "@REBOOT":
        raise _Unreadable(
            "@reboot is no expression here: a schedule that fires when jobs-app starts has"
            " on: start (--on-start) in place of cron.",
            "not_supported",
        )
    if text.startswith("@EVERY"):
        raise _Unreadable(
            "@every is not supported: use an interval (interval_seconds, --every).", "not_supported"
        )
    suggestion = mistyped(text, MACROS)
    known = ", ".join(name.lower() for name in MACROS)
    hint = f"did you mean {suggestion.lower()}?" if suggestion else f"known are {known}."
    raise _Unreadable(f"There is no macro {text.lower()}; {hint}")


def _term(rule: _Field, term: str, seed: str) -> str:
    """Return one term of a list, checked against *rule*, with `H` resolved."""
    special = _special_day(rule, term)
    if special is not None:
        return special
    match = _TERM.fullmatch(term)
    if match is None:
        raise _unreadable(rule, term)
    step = _step(rule, match["step"])
    if match["hash"]:
        return _hashed(rule, match, step, seed)
    if match["star"]:
        return term
    first = _value(rule, match["first"], term)
    last = first if match["last"] is None else _value(rule, match["last"], term)
    if last < first:
        raise _Unreadable(
            f"{rule.name} range {match['first']}-{match['last']} runs backwards;"
            f" split it at the end of {rule.low}-{rule.high}."
        )
    if match["last"] is not None and first == last:
        # cronsim would read 5-5/10 as 5/10, which goes up to the end of the range.
        return match["first"]
    return term


def _special_day(rule: _Field, term: str) -> str | None:
    """Return the checked term of a last or n-th day; None if *term* is another one."""
    if rule.name == "day-of-month":
        return _month_day(rule, term)
    if rule.name != "day-of-week":
        return None
    if match := _LAST_WEEKDAY.fullmatch(term):
        _value(rule, match["weekday"], term)
        return term
    if match := _NTH_WEEKDAY.fullmatch(term):
        # A number for the name: cronsim does not read names here.
        weekday = _value(rule, match["weekday"], term)
        if match["nth"] not in {"1", "2", "3", "4", "5"}:
            raise _Unreadable(
                f"{rule.name} {term}: a month has no weekday number {match['nth']}; give 1-5.",
                "out_of_range",
            )
        return f"{weekday}#{match['nth']}"
    return None


def _month_day(rule: _Field, term: str) -> str | None:
    """Return the checked term of a last or working day; None if *term* is another one."""
    if term in {"L", "LW"}:
        return term
    day = month_days.read(term)
    if day is None:
        return None
    if day.day is not None:
        _value(rule, str(day.day), term)
    elif not 1 <= day.before <= _MOST_BEFORE_LAST:
        raise _Unreadable(
            f"{rule.name} {term} is out of range L-1 to L-{_MOST_BEFORE_LAST}; L is the last day.",
            "out_of_range",
        )
    return day.text


def _value(rule: _Field, text: str, term: str) -> int:
    """Return the number or name *text*, a part of *term*."""
    if text in rule.names:
        return rule.names[text]
    if not text.isdigit():
        raise _unreadable(rule, term)
    value = int(text)
    if not rule.low <= value <= rule.high:
        raise _Unreadable(
            f"{rule.name} {value} is out of range {rule.low}-{rule.high}.", "out_of_range"
        )
    return value


def _step(rule: _Field, text: str | None) -> int | None:
    if text is None:
        return None
    if int(text) == 0:
        raise _Unreadable(f"{rule.name} step /{text} must be at least 1.", "out_of_range")
    return int(text)


def _unreadable(rule: _Field, term: str) -> _Unreadable:
    hint = "write * for any" if term == "?" else f"give numbers {rule.low}-{rule.high}"
    if rule.names and term != "?":
        hint += f" or names {next(iter(rule.names))}-{list(rule.names)[-1]}"
    hint += cron_messages.term_hint(rule.name, term)
    return _Unreadable(f"{rule.name} {term!r} cannot be read; {hint}.")


def _hashed(rule: _Field, match: re.Match[str], step: int | None, seed: str) -> str:
    """Return the number, or the stepped range, that *seed* gives within the range of an `H`.

    The same seed always gives the same number. The five fields are independent.
    """
    low, high = rule.spread
    if match["low"] is not None:
        low, high = (_value(rule, match[end], match[0]) for end in ("low", "high"))
    if high < low:
        raise _Unreadable(f"{rule.name} range H({low}-{high}) runs backwards.")
    digest = blake2b(f"{rule.name}\0{seed}".encode(errors="surrogatepass"), digest_size=8).digest()
    size = high - low + 1
    start = low + int.from_bytes(digest) % (size if step is None else min(step, size))
    if step is None or start + step > high:
        return str(start)
    return f"{start}-{high}/{step}"
