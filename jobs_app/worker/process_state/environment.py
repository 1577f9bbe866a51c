"""The environment variables of a process, and the time zone that depends on one of them."""

import ctypes
import os
import sys
import time
from contextlib import suppress
from typing import Any

_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)

#: C's variable of that name; elsewhere libraries cannot see it.
_ENVIRON: Any = (
    ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
    if sys.platform == "linux"
    else None
)


class Environment:
    """The saved variables: those of `os.environ`, and those that programs inherit.

    The second may differ: `os.putenv` and C code bypass `os.environ`.
    """

    def __init__(self) -> None:
        self._environ = os.environ
        # The bytes themselves: decoding them all takes longer than the rest of a check.
        self._data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # Python's own
        self._saved = dict(self._data)
        self._pointers = _pointers()
        self._zone = _zone()

    def restore(self) -> list[str]:
        """Restore the variables and the time zone; return the empty list."""
        os.environ = self._environ  # noqa: B003  # the object from before
        if self._data != self._saved or self._are_inherited_changed():
            self._restore_variables()
            time.tzset()
        if _zone() != self._zone:
            time.tzset()
        return []

    def _are_inherited_changed(self) -> bool:
        """Compare C's array: an entry differs if its variable was set anew."""
        array = _array()
        if array is None:
            return bool(self._pointers)
        return ctypes.string_at(array, len(self._pointers)) != self._pointers

    def _restore_variables(self) -> None:
        present = _inherited() if _ENVIRON is not None else dict(self._data)
        for name in {*present, *self._data} - {*self._saved}:
            with suppress(OSError):
                os.unsetenv(name)
        for name, value in self._saved.items():
            if present.get(name) != value:
                os.putenv(name, value)
        self._data.clear()
        self._data.update(self._saved)
        self._pointers = _pointers()


def _zone() -> tuple[object, ...]:
    return time.timezone, time.altzone, time.daylight, time.tzname


def _array() -> Any:
    """Return C's array of variables, a pointer; None if there is none, or not on Linux."""
    return _ENVIRON if _ENVIRON is not None and bool(_ENVIRON) else None


def _pointers() -> bytes:
    """Return the content of C's array, with the zero at its end; empty if there is none."""
    array, count = _array(), 0
    if array is None:
        return b""
    while array[count]:
        count += 1
    return ctypes.string_at(array, (count + 1) * _POINTER_BYTES)


def _inherited() -> dict[bytes, bytes]:
    """Return the variables that a program started now would inherit."""
    array = _array()
    texts: list[bytes] = []
    while array is not None and array[len(texts)]:
        texts.append(ctypes.string_at(array[len(texts)]))
    return {name: value for name, _, value in (text.partition(b"=") for text in texts)}
