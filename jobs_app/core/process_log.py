"""Keeps the log of our own processes alive, whatever user code does to the module logging.

A module or a task may configure logging for itself. By default `logging.config.dictConfig`
disables all loggers that exist, and `logging.disable` silences all of them.
"""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs_app.core.json_log import JsonFormatter, log_what_python_prints

if TYPE_CHECKING:
    from jobs_app.core.observing_settings import ObservingSettings

#: Loggers that a person needs to follow a process; not those of tasks, such as `celery.task`.
OURS = (
    "jobs_app",
    "celery.apps",
    "celery.beat",
    "celery.bootsteps",
    "celery.concurrency",
    "celery.pool",
    "celery.worker",
    "kombu",
    "redbeat",
)

#: The format of a line for people.
TEXT_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"

#: The handlers of this process, with their levels from before any user code.
_handlers: list[tuple[logging.Handler, int]] = []


class ProtectedLogger(logging.Logger):
    """A logger that cannot be disabled, and whose lines always reach the output."""

    @property
    def disabled(self) -> bool:
        """Whether the logger is disabled: never."""
        return False

    @disabled.setter
    def disabled(self, value: bool) -> None:
        pass

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  # the name in logging
        """Tell whether *level* is logged, without regard to `logging.disable`."""
        return level >= self.getEffectiveLevel()

    def callHandlers(self, record: logging.LogRecord) -> None:  # noqa: N802  # the name in logging
        """Pass a record to all handlers, and to the first ones if no other writes it."""
        reached = list(_handlers_above(self))
        if reached:
            super().callHandlers(record)
        if not any(_writes(handler, record) for handler in reached):
            for handler, level in _handlers:
                if record.levelno >= level:
                    handler.handle(record)


def configure_log(
    settings: "ObservingSettings", *, process: str, text_format: str = TEXT_FORMAT
) -> None:
    """Log to stderr as the settings say, and protect the lines of this process.

    *text_format* is for lines for people. Lines in JSON name *process*.
    """
    logging.basicConfig(level=settings.log_level, format=text_format)
    if settings.logs_json:
        for handler in logging.root.handlers:
            handler.setFormatter(JsonFormatter(process))
        log_what_python_prints()
    for name in OURS:
        # A level of its own: user code may set that of the root logger.
        logging.getLogger(name).setLevel(settings.log_level)
    _handlers[:] = [(handler, handler.level) for handler in logging.root.handlers]
    protect_log()


def protect_log() -> None:
    """Protect the loggers that exist; call this again after user code was imported."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if type(logger) is logging.Logger and any(_is_below(name, own) for own in OURS):
            logger.__class__ = ProtectedLogger


def _is_below(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


def _handlers_above(logger: logging.Logger | None) -> Iterator[logging.Handler]:
    while logger is not None:
        yield from logger.handlers
        logger = logger.parent if logger.propagate else None


def _writes(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Tell whether a handler writes the record to an output of the process."""
    is_stream = isinstance(handler, logging.StreamHandler)
    is_file = isinstance(handler, logging.FileHandler)
    return is_stream and not is_file and record.levelno >= handler.level
