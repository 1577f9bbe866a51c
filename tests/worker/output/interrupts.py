"""Interrupts code at each of its lines, as a signal handler may."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

#: So often each line is interrupted: what it does may depend on what was done before.
TIMES = 3


@contextmanager
def interrupt_each_line(of: str, handler: Callable[[], None]) -> Iterator[None]:
    """Call *handler* before each line of the block that is in a file whose path contains *of*."""
    times = Counter[tuple[CodeType, int]]()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if of not in frame.f_code.co_filename:
            return None
        line = frame.f_code, frame.f_lineno
        if event == "line" and times[line] < TIMES:
            times[line] += 1
            handler()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
