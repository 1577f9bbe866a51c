"""The log of a run for its page: events as JSON, and plain text."""

import pytest

from jobs_app.core.states import RunState
from jobs_app.runs.history import LogPosition
from jobs_app.web.api.run_logs import LogEvent
from jobs_app.web.pages.run_log import shortened
from tests.web.api.test_run_logs import chunk
from tests.web.conftest import Page, a_run

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def brief(answer: dict) -> list[tuple]:
    """Return the names of the events, with their texts or sizes."""
    return [(name, data.get("text", data.get("bytes"))) for name, data in answer["events"]]


@on_sqlite
def test_a_log_is_sent_as_events_and_goes_on_where_it_ended(page: Page, store) -> None:
    run = a_run(RunState.RUNNING, log_bytes=1010)
    store(run, chunk(run, 0, "head\n"), chunk(run, 7, "tail\n"))

    first = page.get(f"/runs/{run.id}/log").json
    store(chunk(run, 8, "more\n"))
    second = page.get(f"/runs/{run.id}/log?after={first['after']}").json

    assert brief(first) == [("chunk", "head\n"), ("cut", 1000), ("chunk", "tail\n")]
    assert first["is_over"] is False
    assert brief(second) == [("chunk", "more\n")]


@on_sqlite
def test_a_log_is_compressed(page: Page, store) -> None:
    run = a_run()
    store(run, chunk(run, 0, "the same line\n" * 1000))

    answer = page(f"/runs/{run.id}/log", **{"Accept-Encoding": "br"})

    assert answer.headers["Content-Encoding"] == "br"
    assert len(answer.data) < 1000


@on_sqlite
@pytest.mark.parametrize("attempt", [1, 2])
def test_a_log_without_output_goes_on_with_its_first_line(page: Page, store, attempt: int) -> None:
    run = a_run(RunState.RUNNING, attempt=attempt)
    store(run, *([chunk(run, 0, "earlier")] if attempt > 1 else []))

    first = page.get(f"/runs/{run.id}/log").json
    store(chunk(run, 0, "one\n", attempt=attempt))
    second = page.get(f"/runs/{run.id}/log?after={first['after']}").json

    assert brief(first) == []
    assert brief(second) == [("chunk", "one\n")]


@on_sqlite
def test_an_earlier_attempt_is_over_and_alone(page: Page, store) -> None:
    run = a_run(RunState.RUNNING, attempt=2, log_bytes=6)
    store(run, chunk(run, 0, "first"), chunk(run, 3, "later"), chunk(run, 0, "second", attempt=2))

    answer = page.get(f"/runs/{run.id}/log?attempt=1").json

    assert brief(answer) == [("chunk", "first"), ("cut", None), ("chunk", "later")]
    assert answer["is_over"] is True


@on_sqlite
@pytest.mark.parametrize("query", ["?attempt=x", "?attempt=-1", "?attempt=²", "?after=x"])
def test_a_wrong_address_is_refused(page: Page, store, query: str) -> None:
    run = a_run()
    store(run)

    assert page.get(f"/runs/{run.id}/log{query}").status_code == 400


@on_sqlite
@pytest.mark.parametrize("attempt", [0, 3])
def test_an_attempt_that_is_not_there_is_not_found(page: Page, store, attempt: int) -> None:
    run = a_run(attempt=2)
    store(run)

    for path in ("", "/log", "/log.txt"):
        assert page.get(f"/runs/{run.id}{path}?attempt={attempt}").status_code == 404


@on_sqlite
def test_a_run_that_has_ended_is_streamed_to_its_end(page: Page, store) -> None:
    run = a_run(log_bytes=4)
    store(run, chunk(run, 0, "one\n"), chunk(run, 1, "two\n"))

    events = page.get(f"/runs/{run.id}/log/stream?last_event_id=1-0").text

    assert "two" in events
    assert "one" not in events
    assert "event: end" in events


@on_sqlite
def test_the_whole_log_is_text_as_it_was_written(page: Page, store) -> None:
    run = a_run(attempt=2, log_bytes=1)
    store(run, chunk(run, 0, "\x1b[31mred\n"), chunk(run, 0, "<b>", attempt=2))

    newest = page.get(f"/runs/{run.id}/log.txt")

    assert newest.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert newest.text == "<b>"
    assert page.get(f"/runs/{run.id}/log.txt?attempt=1").text == "\x1b[31mred\n"


@on_sqlite
def test_without_script_the_end_is_plain_text(page: Page, store) -> None:
    run = a_run(log_bytes=4)
    store(run, chunk(run, 0, "x" * 70_000), chunk(run, 1, "\x1b[31m<script>\x1b]0;title\x07 end"))

    text = page(f"/runs/{run.id}").text

    plain = text.partition('<pre class="log-plain">')[2].partition("</pre>")[0]
    assert plain.endswith("xx&lt;script&gt; end")
    assert 65_000 < len(plain) < 66_000


def test_of_a_long_log_head_and_tail_stay() -> None:
    line = "x" * 1023 + "\n"
    events = [LogEvent("chunk", {"text": line * 16}, LogPosition(1, seq)) for seq in range(200)]

    short = shortened(events)

    head = next(at for at, event in enumerate(short) if event.name == "skip")
    assert (head, len(short)) == (31, 31 + 1 + 61)
    assert short[head].data == {"lines": (200 - 92) * 16}
    assert shortened(events[:120]) == events[:120]
    # Short lines cost the browser as much as long ones.
    blank = [LogEvent("chunk", {"text": "\n" * 16_384}, LogPosition(1, seq)) for seq in range(64)]
    assert len(shortened(blank)) == 4
