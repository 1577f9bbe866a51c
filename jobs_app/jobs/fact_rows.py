"""Rows of the same columns, so that one statement reads facts of several kinds."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Select, Text, cast, literal, null, select

from jobs_app.db.columns import UTCDateTime
from jobs_app.db.models.runs import Run


def facts(
    kind: str,
    *,
    name: Any = None,
    value: Any = None,
    count: Any = None,
    instant: Any = None,
    actor: Any = None,
    id_: Any = None,
) -> Select[Any]:
    """Return a part of a union: all parts have the same columns."""
    no_text = cast(null(), Text)
    no_instant = cast(null(), UTCDateTime())
    no_id = cast(null(), Run.id.type)
    return select(
        literal(kind).label("kind"),
        (no_text if name is None else name).label("name"),
        (no_text if value is None else value).label("value"),
        (literal(0) if count is None else count).label("count"),
        (no_instant if instant is None else instant).label("instant"),
        (no_text if actor is None else actor).label("actor"),
        (no_id if id_ is None else id_).label("id"),
    )


def by_kind(rows: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the rows of a union by their kind."""
    of_kind: dict[str, list[Any]] = {}
    for row in rows:
        of_kind.setdefault(row.kind, []).append(row)
    return of_kind
