"""What a database is asked, and what happens in between."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from jobs_app.db.engine import Database


def once_read(database: Database, text: str, action: Callable[[], object]) -> None:
    """Have *action* happen once, after a session has read with a statement that has *text*."""
    pending, is_read = [action], [False]

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        is_read[0] = is_read[0] or text in statement

    def act(*_: Any) -> None:
        if is_read[0] and pending:
            pending.pop()()

    event.listen(database.engine, "before_cursor_execute", note)
    # The session that read gives its connection back.
    event.listen(database.engine, "checkin", act)


def transaction_sizes(database: Database, table: str) -> list[int]:
    """Return a list that grows with each commit, by the rows of *table* that it has updated."""
    sizes: list[int] = []
    updated = [0]

    def count(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        if statement.startswith(f"UPDATE {table} "):
            updated[0] += cursor.rowcount

    def end(_: Any) -> None:
        sizes.append(updated[0])
        updated[0] = 0

    event.listen(database.engine, "after_cursor_execute", count)
    event.listen(database.engine, "commit", end)
    return sizes
