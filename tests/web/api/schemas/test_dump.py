"""One row that cannot be shown spoils no list."""

import json
from typing import Any

import pytest
from sqlalchemy import text

from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from tests.web.conftest import Api, a_run


def _deep(levels: int, inside: str = "1") -> str:
    return "[" * levels + inside + "]" * levels


@pytest.mark.parametrize("levels", [300, 5000])
@pytest.mark.parametrize("column", ["result", "kwargs", "progress", "error"])
def test_a_row_nested_too_deeply_is_shown_but_for_that_value(
    api: Api, database: Database, levels: int, column: str
) -> None:
    good, bad = a_run(task="good"), a_run(task="bad", state=RunState.SUCCEEDED)
    with database.session() as session:
        session.add_all([good, bad])
        session.commit()
        ids = {"good": str(good.id), "bad": str(bad.id)}
    document = {
        "result": "DEEP",
        "kwargs": '{"x": DEEP}',
        "progress": '{"fraction": 0.5, "message": "half", "at": "2026-11-23T12:00:00Z",'
        ' "meta": {"x": DEEP}}',
        "error": '{"type": "E", "message": "m", "traceback": DEEP}',
    }[column].replace("DEEP", _deep(levels))
    with database.session() as session:
        statement = f"UPDATE runs SET {column} = :document WHERE task = 'bad'"
        if session.get_bind().dialect.name == "postgresql":
            statement = statement.replace(":document", "CAST(:document AS json)")
        session.execute(text(statement), {"document": document})
        session.commit()

    listed = api.get("/runs")
    read = api.get(f"/runs/{ids['bad']}")

    assert (listed.status_code, read.status_code) == (200, 200)
    tasks = {item["task"]: item for item in listed.json["items"]}
    assert tasks["good"]["id"] == ids["good"]
    assert tasks["bad"]["state"] == "succeeded"
    if column != "error":
        assert "cannot be read" in json.dumps(tasks["bad"][column])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("document", ["NaN", "Infinity", '{"a": NaN}', "1" * 5000, "{broken"])
def test_a_row_that_is_no_json_is_shown_but_for_that_value(
    api: Api, database: Database, document: str
) -> None:
    with database.session() as session:
        session.add(a_run(task="bad"))
        session.commit()
        session.execute(text("UPDATE runs SET result = :document"), {"document": document})
        session.commit()

    answer = api.get("/runs")

    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(answer.text, parse_constant=refuse)["items"][0]["task"] == "bad"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_job_nested_too_deeply_spoils_no_list(api: Api, database: Database) -> None:
    api.make_job("good")
    api.make_job("bad")
    with database.session() as session:
        values = {"document": '{"x": %s}' % _deep(300)}  # noqa: UP031  # braces of JSON
        session.execute(text("UPDATE jobs SET kwargs = :document WHERE name = 'bad'"), values)
        session.commit()

    listed = api.get("/jobs")

    assert listed.status_code == 200
    jobs = {job["name"]: job for job in listed.json["items"]}
    assert "cannot be read" in json.dumps(jobs["bad"]["kwargs"])
    assert jobs["good"]["kwargs"] == {"command": "true"}
