"""The comments of our own export give names and descriptions back."""

import pytest

from jobs_app.jobs.importers.crontab_comments import (
    heading,
    idle_line,
    read_comment,
    read_idle_line,
)


@pytest.mark.parametrize(
    "description, read",
    [
        ("", ""),
        (None, ""),
        ("The report", "The report"),
        ("a: b", "a: b"),
        ("A *list*\nof\tit", "A *list* of it"),
        ("x" * 2000, "x" * 500),
    ],
)
def test_a_heading_is_read_back(description: str | None, read: str) -> None:
    comment = [heading("nightly", description).removeprefix("# ")]
    comment.append("cron has nothing for: retry")

    assert read_comment(comment, is_own=True) == ("nightly", read)


def test_a_comment_of_others_names_no_job() -> None:
    assert read_comment(["nightly: The report"], is_own=False) == ("", "nightly: The report")
    assert read_comment(["Each night: it"], is_own=True) == ("", "Each night: it")
    assert read_comment([], is_own=True) == ("", "")


@pytest.mark.parametrize("why", ["paused", "observes", "ended"])
def test_a_line_of_a_job_that_runs_nothing_is_read_below_its_heading(why: str) -> None:
    written = idle_line(why, "@daily x")

    assert read_idle_line(written, ["nightly: The report"], is_later=False) == "@daily x"
    assert read_idle_line(written, [], is_later=True) == "@daily x"
    assert read_idle_line(written, ["Each night"], is_later=False) is None
    assert read_idle_line(heading(why, "@daily x"), [], is_later=False) is None
    assert read_idle_line("# old: @daily x", ["nightly"], is_later=False) is None
