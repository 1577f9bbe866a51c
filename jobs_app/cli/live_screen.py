"""A screen that is drawn again and again, and tables that fit into its width."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

from jobs_app.cli.client import Json
from jobs_app.cli.format import one_line
from jobs_app.cli.output import on_terminal

# Sequences of ECMA-48 and xterm, which every terminal of today knows.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _END_OF_LINE, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"

#: The narrowest column; a longer text is cut, with an ellipsis.
LEAST_WIDTH = 8

#: The space between two columns.
GAP = 2


def can_redraw() -> bool:
    """Tell whether standard output is a terminal that can be drawn again."""
    return on_terminal() and os.environ.get("TERM", "dumb") != "dumb"


def size() -> tuple[int, int]:
    """Return the columns and lines of the terminal."""
    columns, lines = shutil.get_terminal_size()
    return columns, lines


@contextmanager
def screen() -> Iterator[Callable[[Sequence[str]], None]]:
    """Yield a function that draws lines; afterwards the terminal is as it was before."""

    def draw(lines: Sequence[str]) -> None:
        _, height = size()
        shown = lines[: max(height - 1, 1)]
        sys.stdout.write(_HOME + "".join(f"{line}{_END_OF_LINE}\n" for line in shown) + _BELOW)
        sys.stdout.flush()

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    sys.stdout.write(_ENTER)
    try:
        yield draw
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, before)


def heading(text: str) -> str:
    """Return the heading of a table: bold where there may be styles."""
    return text if os.environ.get("NO_COLOR") else click.style(text, bold=True)


def table(
    items: Sequence[Json],
    columns: Mapping[str, Callable[[Json], str]],
    *,
    width: int | None,
    droppable: Sequence[str] = (),
) -> list[str]:
    """Return the lines of a table of *items* that is at most *width* wide; None: no limit.

    Where it is too narrow the *droppable* columns go, one after the other. Then the widest
    column is cut.
    """
    rows = [{name: one_line(text_of(item)) for name, text_of in columns.items()} for item in items]
    names = list(columns)
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for name in droppable:
        if width is not None and _total(widths, names) > width:
            names.remove(name)
    while width is not None and (excess := _total(widths, names) - width) > 0:
        widest = max(names, key=widths.__getitem__)
        if widths[widest] <= LEAST_WIDTH:
            break
        widths[widest] = max(widths[widest] - excess, LEAST_WIDTH)
    lines = [_line({name: name for name in names}, names, widths)]
    lines += [_line(row, names, widths) for row in rows]
    return lines if width is None else [line[:width] for line in lines]


def _total(widths: Mapping[str, int], names: Sequence[str]) -> int:
    return sum(widths[name] for name in names) + GAP * (len(names) - 1)


def _line(row: Mapping[str, str], names: Sequence[str], widths: Mapping[str, int]) -> str:
    cells = [_cut(row[name], widths[name]).ljust(widths[name]) for name in names]
    return (" " * GAP).join(cells).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
