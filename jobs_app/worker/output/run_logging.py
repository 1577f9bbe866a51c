"""Log records of a run go to its log, once; the worker's own go to the worker's output.

A handler of the user that writes to a standard stream is heard as it is. A record that none of
them shows is written in our own format.
"""

import logging
import weakref
from typing import Any, TextIO

from jobs_app.worker.output.process_masking import MaskedRecords
from jobs_app.worker.output.routing import sink_here
from jobs_app.worker.output.streams import RoutedText

#: Loggers of the worker: a configuration of the user must not disable them.
OWN_LOGGERS = ("jobs_app", "celery", "kombu", "billiard", "redbeat")

StreamHandler = logging.StreamHandler[TextIO]

_user_handlers: weakref.WeakSet[StreamHandler] = weakref.WeakSet()
_own_handlers: weakref.WeakSet[StreamHandler] = weakref.WeakSet()


def note_own_handlers() -> None:
    """Take the handlers that exist now for the worker's own; call it before user imports."""
    _own_handlers.update(_standard_handlers())


def adopt_user_handlers(streams: dict[int, RoutedText]) -> None:
    """Make the other handlers of standard streams write to *streams*, by descriptor.

    Call it when the user's modules have been imported, and Celery has not set up its log.
    """
    for handler in _standard_handlers():
        if handler not in _own_handlers and handler not in _user_handlers:
            _user_handlers.add(handler)
            handler.setStream(streams[number_of(handler.stream)])
    for name, logger in logging.root.manager.loggerDict.items():
        if isinstance(logger, logging.Logger) and name.split(".")[0] in OWN_LOGGERS:
            logger.disabled = False


def worker_handlers() -> list[StreamHandler]:
    """Return the handlers that write to the worker's own stdout or stderr."""
    return [handler for handler in _standard_handlers() if handler not in _user_handlers]


def keep_runs_out(handler: logging.Handler) -> None:
    """Keep records of runs, which may hold private data, out of the worker's own log."""
    handler.addFilter(_is_worker_record)


def keep_runs_out_of(logger: logging.Logger) -> None:
    """Do so for the handlers of *logger* that are not the user's."""
    for handler in logger.handlers:
        if handler not in _user_handlers and _is_worker_record not in handler.filters:
            keep_runs_out(handler)


def install_handler(write: Any) -> None:
    """Send the records of runs to *write*, which takes the text of one record."""
    # Celery stops its task loggers from reaching the root logger.
    for name in (None, "celery.task"):
        handlers = logging.getLogger(name).handlers
        if not any(isinstance(handler, RunLogHandler) for handler in handlers):
            logging.getLogger(name).addHandler(RunLogHandler(write))
    make = logging.getLogRecordFactory()
    if not isinstance(make, MaskedRecords):
        logging.setLogRecordFactory(MaskedRecords(make))


def number_of(stream: Any) -> int:
    """Return the descriptor of *stream*; -1 if it has none."""
    try:
        return int(stream.fileno())
    except (AttributeError, OSError, TypeError, ValueError):
        return -1


def _standard_handlers() -> list[StreamHandler]:
    """Return the handlers of stdout and stderr that do not write to a routed stream."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", [])]
    return [
        handler
        for handler in dict.fromkeys(handlers)
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler.stream, RoutedText)
        and number_of(handler.stream) in (1, 2)
    ]


def _is_worker_record(_: logging.LogRecord) -> bool:
    return sink_here() is None


class RunLogHandler(logging.Handler):
    """Sends each record of a run's thread to the run's log, unless it is there already."""

    def __init__(self, write: Any) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        # A logger below both the root and Celery's logger delivers a record twice.
        if sink_here() is None or getattr(record, "is_in_run_log", False):
            return
        record.is_in_run_log = True
        if _is_heard(record):
            return
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001  # as in logging: a bad format must not end a run
            self.handleError(record)
            return
        self._write(f"{text}\n")


def _is_heard(record: logging.LogRecord) -> bool:
    """Tell whether a handler of the user shows *record* on a standard stream of the run."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        if any(_shows(handler, record) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False


def _shows(handler: logging.Handler, record: logging.LogRecord) -> bool:
    # rich's handler has its stream in its console.
    console = getattr(handler, "console", None)
    stream = getattr(handler, "stream", None) or getattr(console, "file", None)
    if stream is None or _is_worker_record in handler.filters or record.levelno < handler.level:
        return False
    return number_of(stream) in (1, 2) and bool(handler.filter(record))
