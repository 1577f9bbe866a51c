"""Text that several parts write: instants, errors, and suggestions for a wrong name."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches

#: Longer names get no suggestion: comparing them takes long.
MAX_NAME_CHARS = 200


def rfc3339(instant: datetime) -> str:
    """Return *instant*, which is aware, in UTC with `Z`, and with microseconds if it has any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def reason_of(error: Exception) -> str:
    """Return the message of *error* without its full stop, or its type if it has none."""
    return str(error).rstrip(".") or type(error).__name__


def listed(names: Sequence[str], *, most: int = 5) -> str:
    """Return the first *most* of *names*, with commas, and the number of the others."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def ordinal(number: int) -> str:
    """Return a number as in "the 12th time"."""
    is_teen = 10 < number % 100 < 14
    end = "th" if is_teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{end}"


def counted(count: int, noun: str) -> str:
    """Return *count* and *noun* in its number: "1 run", "1,200 runs", "2 entries"."""
    return f"1 {noun}" if count == 1 else f"{count:,} {plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of *noun*, which is a regular one."""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def shortened(text: str, most: int) -> str:
    """Return *text*, or its first *most* characters and "…"."""
    return text if len(text) <= most else f"{text[:most]}…"


def closest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the name in *known* that is most like *name*, None if none is.

    *cutoff* is the least likeness, from 0 to 1. A name of more than MAX_NAME_CHARS is like none.
    """
    if len(name) > MAX_NAME_CHARS:
        return None
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" if one of *known* is close to *name*, else ""."""
    suggestion = closest(name, known)
    return f" Did you mean {suggestion!r}?" if suggestion is not None else ""


def plain(text: str | None) -> str:
    """Return *text* without NUL and lone surrogates, which databases refuse."""
    clean = (text or "").replace("\x00", "\ufffd")
    return clean.encode("utf-8", "replace").decode("utf-8")


def text_of(value: object) -> str:
    """Return the text of *value*, or a sentence if its class fails to give one; never raises."""
    try:
        return plain(str(value))
    except (Exception, SystemExit) as failure:  # noqa: BLE001  # its class is user code
        kind = type(failure).__name__
        return f"(This {type(value).__name__} cannot be read: its str() raised {kind}.)"
