"""Finds many byte strings in output at once; no IO.

Few strings are searched for one after the other. For many, every fourth position of the output
is looked up in a table: a string of at least seven bytes covers such a position wholly. So the
time hardly depends on the number of strings, and not at all on their content.
"""

import sys
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import lru_cache

#: Longer strings are cut into pieces of this length, which follow each other in the output.
PIECE_BYTES = 64

#: With at most this many strings, a search for each is faster than the table.
FEW = 12

_GRAM = 4
_TABLE_MIN = 2 * _GRAM - 1

Span = tuple[int, int]


def pieces(value: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield the pieces of *value*, each with whether it continues the piece before.

    The last piece overlaps the one before, so that it is not short.
    """
    for start in range(0, len(value), PIECE_BYTES):
        start = max(0, min(start, len(value) - PIECE_BYTES))
        yield value[start : start + PIECE_BYTES], start > 0


class Needles:
    """Byte strings to find, each of at least *shortest* bytes; shorter ones are ignored."""

    def __init__(self, values: Iterable[bytes], *, shortest: int) -> None:
        self._continues: dict[bytes, bool] = {}
        for value in values:
            if len(value) >= shortest:
                for piece, continues in pieces(value):
                    self._continues[piece] = self._continues.get(piece, False) or continues
        self._sorted = sorted(self._continues)
        self._searched = [p for p in self._sorted if len(p) < _TABLE_MIN]
        self._table: dict[int, set[tuple[int, int]]] = {}
        tabled = [piece for piece in self._sorted if len(piece) >= _TABLE_MIN]
        if len(tabled) <= FEW:
            self._searched += tabled
        else:
            self._table = _table(tabled)
        self._grams = frozenset(self._table)
        self.longest = max(map(len, self._sorted), default=0)
        self._beginnings = {piece[:_GRAM] for piece in self._sorted}
        self._stubs = {p[:length] for p in self._sorted for length in range(1, _GRAM)}

    def __bool__(self) -> bool:
        return bool(self._sorted)

    def find(self, data: bytes) -> list[Span]:
        """Return the spans of the strings in *data*, in order; overlapping ones are merged."""
        spans: list[Span] = []
        # A piece that continues another comes before a string that begins at the same place.
        for start, is_new, stop in sorted({*self._search(data), *self._look_up(data)}):
            last_stop = spans[-1][1] if spans else -1
            if start < last_stop or (start == last_stop and not is_new):
                spans[-1] = (spans[-1][0], max(stop, last_stop))
            else:
                spans.append((start, stop))
        return spans

    def unfinished(self, data: bytes) -> int:
        """Return how many bytes at the end of *data* may be the start of a string."""
        tail = data[-(self.longest - 1) :] if self.longest > 1 else b""
        for at in self._possible_starts(tail):
            if self._is_beginning(tail[at:]):
                return len(tail) - at
        shorter = range(min(_GRAM - 1, len(tail)), 0, -1)
        return next((n for n in shorter if tail[-n:] in self._stubs), 0)

    def _possible_starts(self, tail: bytes) -> Iterable[int]:
        """Return where one of the strings may begin in *tail*, in order."""
        if len(self._beginnings) <= FEW:
            return sorted(self._places_of_beginnings(tail))
        return [
            at for at in range(len(tail) - _GRAM + 1) if tail[at : at + _GRAM] in self._beginnings
        ]

    def _places_of_beginnings(self, tail: bytes) -> Iterator[int]:
        for beginning in self._beginnings:
            at = tail.find(beginning)
            while at >= 0:
                yield at
                at = tail.find(beginning, at + 1)

    def _is_beginning(self, text: bytes) -> bool:
        """Tell whether a string begins with *text* and is longer."""
        at = bisect_right(self._sorted, text)
        return at < len(self._sorted) and self._sorted[at].startswith(text)

    def _search(self, data: bytes) -> Iterator[tuple[int, bool, int]]:
        for piece in self._searched:
            at = data.find(piece)
            while at >= 0:
                last = _last_of_run(data, at, piece)
                yield at, not self._continues[piece], last + len(piece)
                at = data.find(piece, last + 1)

    def _look_up(self, data: bytes) -> Iterator[tuple[int, bool, int]]:
        if not self._table:
            return
        with memoryview(data)[: len(data) // _GRAM * _GRAM] as view, view.cast("I") as grams:
            present = self._grams.intersection(grams)
        # In order, so that all that lies within the last span found can be skipped: output that
        # repeats a part of a string would be found at every place, and once for each string.
        found_start, found_stop = -1, -1
        for at, gram in sorted(_occurrences(data, present)):
            if found_start < at - PIECE_BYTES and at + _TABLE_MIN <= found_stop:
                continue
            for offset, length in self._table[gram]:
                start, stop = at - offset, at - offset + length
                if (found_start < start and stop <= found_stop) or start < 0 or stop > len(data):
                    continue
                piece = data[start:stop]
                if piece in self._continues:
                    # At the same place, only a continuation tells more: it joins the span before.
                    if stop <= found_stop and start == found_start and not self._continues[piece]:
                        continue
                    stop = _last_of_run(data, start, piece) + length
                    yield start, not self._continues[piece], stop
                    is_apart = start >= found_stop or stop <= found_start
                    found_start = start if is_apart else min(start, found_start)
                    found_stop = stop if is_apart else max(stop, found_stop)


def _occurrences(data: bytes, grams: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield where each of *grams* stands in *data*, at a multiple of its length."""
    for gram in grams:
        text = gram.to_bytes(_GRAM, sys.byteorder)
        at = data.find(text)
        while at >= 0:
            if at % _GRAM == 0:
                yield at, gram
            at = data.find(text, at + 1)


def _last_of_run(data: bytes, start: int, piece: bytes) -> int:
    """Return where the last of the overlapping repetitions of *piece* from *start* begins."""
    step = _period(piece)
    while step < len(piece) and data.startswith(piece, start + step):
        start += step
    return start


@lru_cache(maxsize=1024)
def _period(piece: bytes) -> int:
    """Return the least distance at which *piece* overlaps with itself; at most its length."""
    return next(n for n in range(1, len(piece) + 1) if piece.startswith(piece[n:]))


def _table(values: Iterable[bytes]) -> dict[int, set[tuple[int, int]]]:
    """Return where and how long a string is, relative to each of its last four-byte groups."""
    table: dict[int, set[tuple[int, int]]] = {}
    for value in values:
        for offset in range(len(value) - _TABLE_MIN, len(value) - _GRAM + 1):
            gram = int.from_bytes(value[offset : offset + _GRAM], sys.byteorder)
            table.setdefault(gram, set()).add((offset, len(value)))
    return table
