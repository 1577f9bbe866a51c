"""Bytes that change step by step, without or with the place of each in the original; no IO."""

import re
from array import array
from collections.abc import Callable
from typing import Self


class Unlocated:
    """Bytes alone: many times faster than `Located`, and the same otherwise."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        #: Whether an end was cut off that later output may complete.
        self.is_cut = False

    def sub(self, pattern: re.Pattern[bytes], replace: Callable[[bytes], bytes]) -> Self:
        """Replace each match of *pattern*, as `re.sub` does; return this object."""
        self.data = pattern.sub(lambda match: replace(match[0]), self.data)
        return self

    def drop(self, dropped: bytes) -> Self:
        """Remove each of the bytes in *dropped*; return this object."""
        self.data = self.data.translate(None, dropped)
        return self

    def translate(self, table: bytes) -> Self:
        """Replace each byte by its entry in *table*; return this object."""
        self.data = self.data.translate(table)
        return self

    def cut(self, length: int) -> Self:
        """Keep the first *length* bytes: later output may change the others."""
        self.data = self.data[:length]
        self.is_cut = True
        return self


class Located(Unlocated):
    """Bytes, with the span of the original bytes that each of them stands for."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._starts = _numbers(0, len(data))
        self._ends = _numbers(1, len(data) + 1)
        #: The place in the original from which on bytes were cut off.
        self.cut_at = len(data)

    def sub(self, pattern: re.Pattern[bytes], replace: Callable[[bytes], bytes]) -> Self:
        parts: list[bytes] = []
        starts, ends, at = array("L"), array("L"), 0
        for match in pattern.finditer(self.data):
            start, end = match.span()
            new = replace(match[0])
            parts += [self.data[at:start], new]
            starts += self._starts[at:start]
            ends += self._ends[at:start]
            starts.extend([self._starts[start]] * len(new))
            ends.extend([self._ends[end - 1]] * len(new))
            at = end
        if parts:
            parts.append(self.data[at:])
            self.data = b"".join(parts)
            self._starts, self._ends = starts + self._starts[at:], ends + self._ends[at:]
        return self

    def drop(self, dropped: bytes) -> Self:
        return self.sub(re.compile(b"[" + re.escape(dropped) + b"]+"), lambda _: b"")

    def cut(self, length: int) -> Self:
        if length < len(self.data):
            self.cut_at = min(self.cut_at, self._starts[length])
            self._starts, self._ends = self._starts[:length], self._ends[:length]
        return super().cut(length)

    def place(self, start: int, stop: int) -> tuple[int, int]:
        """Return the span of the original that the bytes from *start* to *stop* stand for."""
        return self._starts[start], self._ends[stop - 1]

    def start_of_last(self, length: int) -> int:
        """Return where the last *length* bytes begin in the original; 0 if there are fewer."""
        return self._starts[-length] if length <= len(self._starts) else 0


_FIRST_NUMBERS = array("L", range(4_096))


def _numbers(start: int, stop: int) -> "array[int]":
    if stop <= len(_FIRST_NUMBERS):
        return _FIRST_NUMBERS[start:stop]
    return array("L", range(start, stop))
