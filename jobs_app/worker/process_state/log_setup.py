"""The logging of a process: levels and handlers of all loggers, and the switches of the module.

A logger that a run created stays, because modules keep references to it. It is as a new
logger again after the run: its records reach the root logger, and so the log of the next run.
"""

import logging
from typing import Any

LoggerState = tuple[int, bool, bool, list[Any], list[Any]]
HandlerState = tuple[int, object, list[Any], object]

_NEW_LOGGER: LoggerState = (logging.NOTSET, True, False, [], [])


class LogSetup:
    """The saved state of all loggers, of their handlers, and of the module `logging`."""

    def __init__(self) -> None:
        self._root, self._manager = logging.root, logging.Logger.manager
        self._disable = self._manager.disable
        self._loggers = {logger: _copy(_state(logger)) for logger in self._all_loggers()}
        handlers = {handler for logger in self._loggers for handler in logger.handlers}
        self._handlers = {handler: _copy(_handler_state(handler)) for handler in handlers}
        self._make_record = logging.getLogRecordFactory()
        self._logger_class = logging.getLoggerClass()
        levels = logging.getLevelNamesMapping().values()
        self._level_names = {level: logging.getLevelName(level) for level in levels}
        self._last_resort, self._raises = logging.lastResort, logging.raiseExceptions
        self._note_loggers()

    def restore(self) -> list[str]:
        """Restore levels, handlers and switches; return the empty list."""
        logging.lastResort, logging.raiseExceptions = self._last_resort, self._raises
        logging.setLogRecordFactory(self._make_record)
        if logging.getLoggerClass() is not self._logger_class:
            logging.setLoggerClass(self._logger_class)
        for level, name in self._level_names.items():
            if logging.getLevelName(level) != name:
                logging.addLevelName(level, name)
        if self._manager.disable != self._disable or self._has_changed():
            self._restore_loggers()
        for handler, state in self._handlers.items():
            if _handler_state(handler) != state:
                _restore_handler(handler, state)
        return []

    def _restore_loggers(self) -> None:
        for logger in self._all_loggers():
            state = self._loggers.get(logger, _NEW_LOGGER)
            if _state(logger) != state:
                logger.level, logger.propagate, logger.disabled = state[:3]
                logger.handlers[:], logger.filters[:] = state[3:]
        # This also drops what the loggers have cached of their levels.
        logging.disable(self._disable)
        self._note_loggers()

    def _note_loggers(self) -> None:
        """Note the loggers that exist, and their state, for a quick comparison."""
        entries = self._manager.loggerDict
        self._count = len(entries)
        self._placeholders = [
            (name, entry)
            for name, entry in entries.items()
            if not isinstance(entry, logging.Logger)
        ]
        self._known = self._all_loggers()
        self._states = [_copy(_state(logger)) for logger in self._known]

    def _has_changed(self) -> bool:
        entries = self._manager.loggerDict
        return (
            len(entries) != self._count
            or any(entries.get(name) is not entry for name, entry in self._placeholders)
            or [(e.level, e.propagate, e.disabled, e.handlers, e.filters) for e in self._known]
            != self._states
        )

    def _all_loggers(self) -> list[logging.Logger]:
        # The others are placeholders for parents that nobody has asked for.
        entries = list(self._manager.loggerDict.values())
        return [self._root, *(e for e in entries if isinstance(e, logging.Logger))]


def _state(logger: logging.Logger) -> LoggerState:
    return logger.level, logger.propagate, logger.disabled, logger.handlers, logger.filters


def _handler_state(handler: logging.Handler) -> HandlerState:
    # A handler of files may open another one, by itself.
    stream = handler.stream if type(handler) is logging.StreamHandler else None
    return handler.level, handler.formatter, handler.filters, stream


def _copy(state: Any) -> Any:
    return tuple(list(part) if isinstance(part, list) else part for part in state)


def _restore_handler(handler: logging.Handler, state: HandlerState) -> None:
    handler.level, handler.filters = state[0], list(state[2])
    handler.formatter = state[1]  # type: ignore[assignment]  # it was read from there
    if isinstance(handler, logging.StreamHandler) and state[3] is not None:
        handler.stream = state[3]
