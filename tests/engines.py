"""Engines that are lent to one test after the other: a new one compiles each statement again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from jobs_app.db.engine import Database


class EnginePool:
    """Databases by their URLs, closed while no test has them.

    One that a test has added a listener to is not lent again.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[str, bool], Database] = {}

    @contextmanager
    def lend(self, url: str, *, has_single: bool = False) -> Iterator[Database]:
        """Yield the database of *url*, which nobody else has, and close it."""
        key = (url, has_single)
        database = self._free.pop(key, None) or Database(url, has_single=has_single)
        before = _listeners(database.engine)
        try:
            yield database
        finally:
            database.close()
        if _listeners(database.engine) == before:
            self._free[key] = database


def _listeners(engine: Engine) -> list[list[object]]:
    """Return the listeners of each event of the engine, of its pool and of its dialect."""
    dispatches: tuple[Any, ...] = (engine.dispatch, engine.pool.dispatch, engine.dialect.dispatch)
    return [
        list(getattr(dispatch, name)) for dispatch in dispatches for name in dispatch._event_names
    ]
