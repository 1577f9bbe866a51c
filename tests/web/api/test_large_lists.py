"""Lists of rows with large values: short pages, and all rows page by page."""

from typing import Any

import pytest
from sqlalchemy import insert, inspect, select
from sqlalchemy.orm import Session

from jobs_app.db.columns import new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import AuditEvent
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import Attempt, Run
from tests.web.conftest import NOW, Api, a_run

NUMBER = 12
LARGE = "x" * 250_000


def add_runs(session: Session, **facts: Any) -> None:
    for _ in range(NUMBER):
        session.add(a_run(id=new_run_id(), **facts))
    session.commit()


def add_results(session: Session) -> None:
    add_runs(session, result=LARGE)


def add_kwargs(session: Session) -> None:
    add_runs(session, kwargs={"command": LARGE})


def add_attempts(session: Session) -> None:
    add_runs(session)
    error = {"type": "E", "message": LARGE, "traceback": None}
    rows = [
        {"run_id": run_id, "attempt": 1, "state": "failed", "finished_at": NOW, "error": error}
        for run_id in session.scalars(select(Run.id))
    ]
    session.execute(insert(Attempt), rows)
    session.commit()


def add_jobs(session: Session) -> None:
    first = session.scalars(select(Job)).one()
    names = [attribute.key for attribute in inspect(Job).column_attrs if attribute.key != "id"]
    columns = {name: getattr(first, name) for name in names}
    changed = [
        {"name": f"job-{number:02}", "kwargs": {"command": LARGE}} for number in range(NUMBER - 1)
    ]
    session.execute(insert(Job), [columns | values for values in changed])
    session.commit()


def add_events(session: Session) -> None:
    for _ in range(NUMBER - 1):
        session.add(AuditEvent(at=NOW, actor="a", action="change", detail={"after": LARGE}))
    session.commit()


LISTS = {
    "results": ("/runs", add_results),
    "arguments of runs": ("/runs", add_kwargs),
    "errors of attempts": ("/runs", add_attempts),
    "arguments of jobs": ("/jobs", add_jobs),
    "the audit": ("/audit", add_events),
}


@pytest.mark.parametrize("path, add", LISTS.values(), ids=LISTS)
def test_a_list_of_large_rows_comes_in_short_pages(
    api: Api, database: Database, path: str, add: Any
) -> None:
    api.make_job()
    with database.session() as session:
        add(session)

    pages: list[list[dict[str, Any]]] = []
    cursor = None
    while cursor is not None or not pages:
        answer = api.get(path, query_string={"limit": 200} | ({"cursor": cursor} if cursor else {}))
        assert len(answer.data) < 1_300_000
        assert ("Link" in answer.headers) == (answer.json["next_cursor"] is not None)
        pages.append(answer.json["items"])
        cursor = answer.json["next_cursor"]

    assert len(pages) > 2
    ids = [item["id"] for items in pages for item in items]
    assert len(ids) == len(set(ids)) == NUMBER


def test_a_row_that_is_larger_than_a_page_has_a_page_of_its_own(
    api: Api, database: Database
) -> None:
    with database.session() as session:
        add_runs(session, result="x" * 1_100_000)

    answer = api.get("/runs?limit=5").json

    assert len(answer["items"]) == 1
    assert answer["next_cursor"] is not None
