"""The job states that APScheduler 3 stores as pickles, read without running any of their code.

A pickle names classes and functions, and calls them. Here it gets harmless stand-ins for those
of APScheduler, the classes of `datetime`, and time zones. It gets nothing else: what names
another class or function is refused.
"""

import io
import pickle
import pickletools
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any

from jobs_app.core.text import shortened
from jobs_app.jobs.importers.drafts import Refused
from jobs_app.schedules import timezones

#: A longer state is not read.
MOST_BYTES = 1_000_000

_DATETIME = {cls.__name__: cls for cls in (date, datetime, time, timedelta, timezone)}
#: Operations that no state needs.
_REFUSED_OPERATIONS = frozenset(
    {
        *("BYTEARRAY8", "NEXT_BUFFER", "READONLY_BUFFER", "PERSID", "BINPERSID"),
        *("EXT1", "EXT2", "EXT4"),
    }
)
#: The errors that damaged or hostile bytes lead to.
_ERRORS = (
    *(pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, ImportError),
    *(LookupError, MemoryError, RecursionError, TypeError, ValueError),
)


class Stored:
    """An object of APScheduler: its class, and its state by name."""

    kind = ""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def __new__(cls, *_: Any) -> "Stored":
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        # A pair is what version 3.0 wrote for a class with slots.
        state = state[1] if isinstance(state, tuple) and len(state) == 2 else state
        self.state = state if isinstance(state, dict) else {}


class _ZoneClass:
    """Takes the place of the class ZoneInfo, of which a pickle wants `_unpickle`."""


def _attribute(owner: object, name: object) -> Any:
    """Take the place of `getattr`, for the one attribute that a time zone needs."""
    if owner is _ZoneClass and name == "_unpickle":
        return _zone
    raise pickle.UnpicklingError(f"it reads an attribute {shortened(str(name), 60)!r}")


def _zone(name: object, *_: Any) -> tzinfo:
    if isinstance(name, str) and timezones.is_known(name):
        return timezones.load(name)
    raise Refused(f"Its time zone {shortened(str(name), 60)!r} is not one of this machine.")


def _utc(*_: Any) -> tzinfo:
    return timezones.load("UTC")


def _bytes(text: object, *_: Any) -> bytes:
    """Take the place of `codecs.encode`, by which old protocols write bytes."""
    return str(text).encode("latin-1")


_FUNCTIONS: dict[tuple[str, str], Any] = {
    ("builtins", "getattr"): _attribute,
    ("__builtin__", "getattr"): _attribute,
    ("_codecs", "encode"): _bytes,
    ("zoneinfo", "ZoneInfo"): _ZoneClass,
    ("zoneinfo", "ZoneInfo._unpickle"): _zone,
    # pytz writes its zones so; APScheduler used it up to 3.9.
    ("pytz", "_p"): _zone,
    ("pytz", "_UTC"): _utc,
    ("dateutil.tz.tz", "tzutc"): _utc,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name; raises Refused, which names what has none."""
        if module == "datetime" and name in _DATETIME:
            return _DATETIME[name]
        if (module, name) in _FUNCTIONS:
            return _FUNCTIONS[module, name]
        if module.startswith("apscheduler.triggers.") and name.isidentifier():
            return type(name, (Stored,), {"kind": name})
        raise Refused(
            f"Its stored state names {shortened(f'{module}.{name}', 100)}. A pickle may run any"
            " code, so that only APScheduler's own triggers and plain values are read.",
            "Give the task plain arguments, or make the job by hand: jobs-app job create.",
        )


def _check_operations(data: bytes) -> None:
    """Raise UnpicklingError for operations that take more memory than *data* has bytes.

    Such are a buffer, which is made before it is read, and a place far out in the memo, which is
    filled up to it.
    """
    for operation, argument, _ in pickletools.genops(data):
        is_place = operation.name in ("PUT", "LONG_BINPUT")
        if operation.name in _REFUSED_OPERATIONS or (is_place and int(argument or 0) > len(data)):
            raise pickle.UnpicklingError(f"it has the operation {operation.name}")


def read_state(data: bytes) -> dict[str, Any]:
    """Return the state of a job, in which triggers are Stored. Raises Refused."""
    if len(data) > MOST_BYTES:
        raise Refused("Its stored state is longer than 1 MB.")
    try:
        _check_operations(data)
        state = _Unpickler(io.BytesIO(data)).load()
    except _ERRORS as error:
        raise Refused(
            f"Its stored state cannot be read ({type(error).__name__}: "
            f"{shortened(str(error), 100)})."
        ) from error
    if not isinstance(state, dict):
        raise Refused("Its stored state is not that of a job.")
    return state
