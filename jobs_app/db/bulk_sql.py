"""SQL for many rows at once, and the count of changed rows, on both databases."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Result,
    any_,
    bindparam,
    cast,
    collate,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.types import NullType

from jobs_app.db.engine import reader_of

#: Rows that one transaction of `update_all` changes.
UPDATE_BATCH = 1000

#: The pause between them, seconds: others that wait for SQLite's lock look only now and then.
PAUSE_SECONDS = 0.05


def in_values(
    session: Session, column: InstrumentedAttribute[Any], values: Sequence[Any]
) -> ColumnElement[bool]:
    """Return the condition "*column* is one of *values*" with one parameter for all values.

    The statement is the same for any number of values, so that its plan is cached.
    """
    if session.get_bind().dialect.name == "postgresql":
        # Without a type, the server reads the parameter as an array once; as text it would
        # parse it again for each row.
        parameter = literal(array_literal(values), NullType())
        return column == any_(cast(parameter, postgresql.ARRAY(column.type)))
    write = bind_processor(session, column.type)
    rows = func.json_each(json.dumps([write(value) for value in values]))
    return column.in_(select(rows.table_valued("value").c.value))


def array_literal(values: Iterable[int | UUID]) -> str:
    """Return *values* in PostgreSQL's text form of an array.

    The driver would check for each value whether it needs quotes, which is half of the cost
    of a thousand values.
    """
    return f"{{{','.join(map(str, values))}}}"


def bind_processor(session: Session, kind: Any) -> Callable[[Any], Any]:
    """Return the function that turns a value of the column type *kind* into a driver's value."""
    dialect = session.get_bind().dialect
    write: Callable[[Any], Any] | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return write or (lambda value: value)


def in_code_points(session: Session, column: ColumnElement[str]) -> ColumnElement[str]:
    """Return *column* such that it sorts as Python sorts its texts, in any locale of the server."""
    is_postgresql = session.get_bind().dialect.name == "postgresql"
    return collate(column, "C" if is_postgresql else "BINARY")


def rowcount(result: Result[Any]) -> int:
    """Return how many rows an UPDATE, INSERT or DELETE changed."""
    # SQLAlchemy types the result of each statement as `Result`, which has no `rowcount`.
    changed: CursorResult[Any] = result  # type: ignore[assignment]
    return changed.rowcount


def update_all(
    session: Session, key: InstrumentedAttribute[UUID], where: ColumnElement[bool], **values: Any
) -> int:
    """Update the rows that fit *where*, however many there are; return how many it were.

    *key* is the primary key, and *where* has no `in_`. The first UPDATE_BATCH rows are updated in
    the open transaction, which is committed, and then each UPDATE_BATCH of the others. A row that
    does not fit any more stays as it is; one that comes meanwhile may be left out.
    """
    first = list(session.scalars(select(key).where(where).limit(UPDATE_BATCH)))
    updated = _update_each(session, key, first, where, values)
    session.commit()
    if len(first) < UPDATE_BATCH:
        return updated
    # Read by a session that locks nothing: a search for each batch would pass all rows again.
    with reader_of(session) as reader:
        keys = list(reader.scalars(select(key).where(where)))
    for start in range(0, len(keys), UPDATE_BATCH):
        time.sleep(PAUSE_SECONDS)
        updated += _update_each(session, key, keys[start : start + UPDATE_BATCH], where, values)
        session.commit()
    return updated


def _update_each(
    session: Session,
    key: InstrumentedAttribute[UUID],
    keys: Sequence[UUID],
    where: ColumnElement[bool],
    values: dict[str, Any],
) -> int:
    """Update the rows with *keys* that fit *where*; return how many it were."""
    if not keys:
        return 0
    # One key in each statement: with many, SQLite searches by *where*, through all rows.
    statement = update(key.class_).where(key == bindparam("this_key"), where).values(**values)
    return rowcount(
        session.connection().execute(statement, [{"this_key": this_key} for this_key in keys])
    )
