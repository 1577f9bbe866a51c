"""Log lines as JSON objects, one a line, for programs that collect logs (JOBS_LOG_FORMAT=json)."""

import json
import logging
import math
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from jobs_app.core.text import rfc3339

#: The longest text of a line, characters, as `up` copies lines; of a traceback the end is kept.
MAX_MESSAGE, MAX_TRACEBACK = 4000, 6000

#: Functions that tell what this thread works on: the request, or the run.
Context = Callable[[], Mapping[str, object]]
_contexts: list[Context] = []

#: A conversion of a message, with its name: our messages are `event name=%s name=%s`.
_CONVERSION = re.compile(r"%%|(?:(\w+)=)?%[-#0 +]*\d*(?:\.\d+)?[a-zA-Z]")
_PAIR = re.compile(r"(?<!\S)([a-z_]+)=(\S+)")
_EVENT = re.compile(r"[a-z][a-z0-9_]*(?= |\Z)")

#: Fields whose names are longer here: they can be looked up in the API.
_NAMES = {"run": "run_id", "worker": "worker_id"}

log = logging.getLogger("jobs_app.process")


def add_context(context: Context) -> None:
    """Add the fields that *context* returns to each line from now on."""
    if context not in _contexts:
        _contexts.append(context)


def line(name: str, level: str, message: str, /, **fields: object) -> str:
    """Return a line of the process *name* that no logger wrote."""
    head = {"time": rfc3339(datetime.now(UTC)), "level": level, "process": name}
    return json.dumps(head | {"message": message[:MAX_MESSAGE]} | fields)


def is_line(text: str) -> bool:
    """Tell whether *text* is a JSON object already."""
    if not (text.startswith("{") and text.endswith("}")):
        return False
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class JsonFormatter(logging.Formatter):
    """Formats a record as one line: its fields are those that the message names.

    What a task logs goes to the log of its run, and never comes here.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return *record* as a JSON object in ASCII, whatever is in it."""
        message = record.getMessage()
        entry: dict[str, object] = {
            "time": rfc3339(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname,
            "process": self._process,
            "pid": os.getpid(),
            "logger": record.name,
            "message": message[:MAX_MESSAGE],
        }
        if record.name.startswith("jobs_app") and (event := _EVENT.match(message)):
            entry["event"] = event[0]
        for name, value in (*_fields(record), *_context()):
            entry.setdefault(name, value)
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            entry["traceback"] = record.exc_text[-MAX_TRACEBACK:]
        if record.stack_info:
            entry["stack"] = record.stack_info[-MAX_TRACEBACK:]
        return json.dumps(entry)


def _fields(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    """Yield the named values of the message of a record."""
    if not record.args:
        # Its secrets are masked already, and with them the message was made.
        for match in _PAIR.finditer(record.getMessage()):
            yield _NAMES.get(match[1], match[1]), match[2]
        return
    if not (isinstance(record.msg, str) and isinstance(record.args, tuple)):
        return
    conversions = [match for match in _CONVERSION.finditer(record.msg) if match[0] != "%%"]
    for match, value in zip(conversions, record.args, strict=False):
        if match[1]:
            yield _NAMES.get(match[1], match[1]), _plain(value)


def _context() -> Iterator[tuple[str, object]]:
    for context in _contexts:
        for name, value in context().items():
            yield name, _plain(value)


def _plain(value: object) -> object:
    """Return *value* as JSON has it: a number, or a text."""
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return str(value)[:MAX_MESSAGE]


def log_what_python_prints() -> None:
    """Log what Python would print of warnings and of errors that nobody catches."""
    logging.captureWarnings(True)
    sys.excepthook = _log_error
    threading.excepthook = _log_thread_error


def _log_error(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    log.critical("process_failed", exc_info=(kind, error, traceback))


def _log_thread_error(args: Any) -> None:
    if args.exc_type is not SystemExit:
        log.critical("thread_failed", exc_info=(args.exc_type, args.exc_value, args.exc_traceback))
