"""The size of values is the same on both databases, and bounds a page."""

from sqlalchemy import select

from jobs_app.db.engine import Database
from jobs_app.db.models.runs import Run
from jobs_app.db.page_size import MAX_PAGE_CHARS, fitting, text_size
from tests.web.conftest import a_run


def test_the_size_is_that_of_the_stored_text(database: Database) -> None:
    with database.session() as session:
        session.add(a_run(result={"text": "x" * 100}, error=None, kwargs={}))
        session.commit()

        size = session.scalars(select(text_size(Run.result, Run.error, Run.kwargs))).one()

    assert size == len('{"text": ""}') + 100 + len("{}")


def test_a_page_ends_before_it_is_too_large_but_is_never_empty() -> None:
    half = MAX_PAGE_CHARS // 2

    assert fitting([("a", half), ("b", half), ("c", 1)]) == ["a", "b"]
    assert fitting([("a", 9 * half), ("b", 1)]) == ["a"]
    assert fitting([("a", 1), ("b", 9 * half), ("c", 1)]) == ["a"]
    assert fitting([]) == []
