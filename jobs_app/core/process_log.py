"""Keeps the log of our own processes alive, whatever user code does to the module logging.

A module or a task may configure logging for itself. By default `logging.config.dictConfig`
disables all loggers that exist, and `logging.disable` silences all of them.
"""

import logging
from collections.abc import Iterator

#: Packages whose log lines a person needs to follow the process; Celery's task logger is not ours.
OURS = "jobs_app"
LIBRARIES = ("celery", "kombu", "redbeat")
TASK_LOGGER = "celery.task"

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


def configure_log(level: str, format_: str) -> None:
    """Log to stderr from *level* on, and protect the lines of this process."""
    logging.basicConfig(level=level, format=format_)
    logging.getLogger(OURS).setLevel(level)
    _handlers[:] = [(handler, handler.level) for handler in logging.root.handlers]
    protect_log()


def protect_log() -> None:
    """Protect the loggers that exist; call this again after user code was imported."""
    for name, logger in list(logging.root.manager.loggerDict.items()):
        if not isinstance(logger, logging.Logger):
            continue
        if _is_below(name, OURS) and type(logger) is logging.Logger:
            logger.__class__ = ProtectedLogger
        elif any(_is_below(name, library) for library in LIBRARIES):
            logger.disabled = logger.disabled and _is_below(name, TASK_LOGGER)


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
