"""Bounds the size of a page: rows with large values fill a page with fewer of them."""

from collections.abc import Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Text, cast, func, literal, select

from jobs_app.db.models.runs import Attempt, Run

Key = TypeVar("Key")

#: A page with several rows has at most about this many characters.
MAX_PAGE_CHARS = 1_000_000


def text_size(*columns: Any) -> ColumnElement[int]:
    """Return the characters of *columns* together, which may hold text, JSON or null."""
    size: ColumnElement[int] = literal(0)
    for column in columns:
        size = size + func.coalesce(func.length(cast(column, Text)), 0)
    return size


#: The size of what may be large in a run and its attempts, characters.
RUN_SIZE = text_size(Run.kwargs, Run.result, Run.error, Run.progress, Run.note) + func.coalesce(
    select(func.sum(text_size(Attempt.error, Attempt.note)))
    .where(Attempt.run_id == Run.id)
    .scalar_subquery(),
    0,
)


def fitting(rows: Sequence[tuple[Key, int]]) -> list[Key]:
    """Return the keys of the first of *rows*, keys and sizes, that fit on a page; at least one."""
    keys: list[Key] = []
    left = MAX_PAGE_CHARS
    for key, size in rows:
        left -= size
        if left < 0 and keys:
            break
        keys.append(key)
    return keys
