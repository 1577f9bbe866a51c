"""The attempts of a run as a line, and its result as a tree."""

from datetime import datetime, timedelta

from jobs_app.core.states import RunState
from jobs_app.db.models.runs import Run
from jobs_app.web.api.schemas.runs import AttemptOut
from jobs_app.web.pages import run_view
from tests.web.conftest import NOW, a_run


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def attempt(number: int, state: RunState, start: float, end: float | None) -> AttemptOut:
    return AttemptOut(
        attempt=number,
        state=state,
        started_at=after(start),
        finished_at=None if end is None else after(end),
        worker=None,
        error=None,
        exit_code=None,
        late_result=None,
    )


def test_a_line_has_the_waits_between_the_attempts() -> None:
    attempts = [attempt(1, RunState.FAILED, 10, 40), attempt(2, RunState.SUCCEEDED, 50, 110)]

    parts = run_view.segments(a_run(), attempts, at=after(200))

    assert [(part.attempt, part.seconds) for part in parts] == [
        (None, 10),
        (1, 30),
        (None, 10),
        (2, 60),
    ]
    assert parts[0].x == 0
    assert round(parts[-1].x + parts[-1].width) == run_view.LINE
    assert run_view.line_text(parts).startswith("waited 10 s; attempt 1 failed, 30 s; waited 10 s")


def test_what_is_very_short_is_still_seen() -> None:
    attempts = [attempt(1, RunState.FAILED, 0, 0), attempt(2, RunState.SUCCEEDED, 0.001, 90_000)]

    parts = run_view.segments(a_run(), attempts, at=after(0))

    assert all(part.width >= 1 for part in parts)
    assert round(sum(part.width for part in parts)) == run_view.LINE


def test_the_line_of_a_running_run_changes_rarely() -> None:
    attempts = [attempt(1, RunState.RUNNING, 5, None)]

    lines = {
        tuple(run_view.segments(a_run(RunState.RUNNING), attempts, at=after(5 + seconds)))
        for seconds in range(1000, 2000)
    }

    assert len(lines) <= 3


def test_a_run_that_never_started_has_no_line() -> None:
    assert run_view.segments(a_run(RunState.SKIPPED), [], at=NOW) == []
    assert run_view.line_text([]) == ""


def test_a_tree_is_open_for_three_levels_and_exact() -> None:
    root = run_view.tree({"a": [{"b": {"c": 10**40}}], "t": True, "n": None, "s": "x"})

    (a, t, n, s) = root.parts
    assert (root.text, root.is_open) == ("4 fields", True)
    assert (a.text, a.is_open, a.parts[0].is_open) == ("1 item", True, True)
    assert a.parts[0].parts[0].is_open is False
    assert a.parts[0].parts[0].parts[0].text == str(10**40)
    assert [node.text for node in (t, n, s)] == ["true", "null", "x"]


def test_a_tree_has_an_end() -> None:
    deep: list = []
    for _ in range(5000):
        deep = [deep]

    assert run_view.tree(list(range(1000))).left_out == 1000 - run_view.MOST_ITEMS
    wide = run_view.tree([[[0] * 100] * 100] * 100)
    assert count(wide) <= run_view.MOST_NODES + 1
    assert "nested too deep" in str(run_view.tree(deep))
    assert len(run_view.tree("x" * 20_000).text) == run_view.MOST_CHARS + 1
    assert len(str(run_view.tree(["x" * 5_000] * 199))) < 3 * run_view.MOST_ALL_CHARS
    assert run_view.tree({}).text == "{}"


def count(node: run_view.Node) -> int:
    return 1 + sum(map(count, node.parts))


def test_a_reason_is_a_sentence_or_that_of_a_person() -> None:
    def reason(text: str | None) -> str | None:
        run: Run = a_run(RunState.CANCELLED, reason=text)
        return run_view.reason(run)

    assert reason("scheduler_down") == "no scheduler was running when it was due"
    assert reason("too slow") == "too slow"
    assert reason("cancelled") is None
    assert reason(None) is None
