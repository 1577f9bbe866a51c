"""The last line of an output."""

import pytest
from sqlalchemy import select

from jobs_app.db.engine import Database
from jobs_app.runs import last_line
from jobs_app.runs.last_line import MOST_CHARS, SEARCHED_CHARS
from tests.factories import make_run, write_log

LINES = {
    "nothing": (None, None),
    "blank lines": ("\n \n", None),
    "the last of several": ("one\ntwo\n", "two"),
    "blank lines behind it": ("one\n\n \n", "one"),
    "a line without its end": ("one\ntwo", "two"),
    "colours": ("\x1b[31mred\x1b[0m\r\n", "red"),
    "a long line": ("x" * 500, "x" * MOST_CHARS + "…"),
}


@pytest.mark.parametrize("end, line", LINES.values(), ids=LINES)
def test_the_last_line_is_one_that_is_not_blank(end: str | None, line: str | None) -> None:
    assert last_line.last_line(end) == line


@pytest.mark.parametrize(
    "chunks",
    [("the reason\n", "\n"), ("other\nthe rea", "son\n"), ("x" * 3000 + "\nthe ", "reason")],
)
def test_a_line_may_end_in_a_later_chunk(database: Database, chunks: tuple[str, ...]) -> None:
    run_id = make_run(database)
    write_log(database, run_id, "first\n", *chunks)

    with database.reading() as session:
        assert last_line.of_attempt(session, run_id, 1) == "the reason"


def test_only_the_end_of_the_output_of_an_attempt_is_read(database: Database) -> None:
    run_id = make_run(database)
    write_log(database, run_id, "first\n")
    write_log(database, run_id, "second\n", "x" * SEARCHED_CHARS + "\nthird\n", attempt=2)

    with database.reading() as session:
        lines = [last_line.of_attempt(session, run_id, attempt) for attempt in (1, 2, 3)]
        end = session.scalar(select(last_line.log_end(run_id, 2)))

    assert lines == ["first", "third", None]
    assert len(end or "") == SEARCHED_CHARS
