"""/runs/{id}/log: what a run wrote, as text and as JSON."""

import pytest

from jobs_app.db.models.runs import LogChunk, Run
from tests.web.conftest import NOW, Api, a_run


def chunk(run: Run, seq: int, text: str, *, attempt: int = 1, stream: str = "stdout") -> LogChunk:
    return LogChunk(run_id=run.id, attempt=attempt, seq=seq, stream=stream, at=NOW, text=text)


def test_a_log_is_plain_text_in_order(api: Api, store) -> None:
    run = a_run(log_bytes=8)
    store(run, chunk(run, 0, "one\n"), chunk(run, 1, "zwö"))

    answer = api.get(f"/runs/{run.id}/log")

    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == "one\nzwö"


def test_what_was_cut_out_of_a_log_is_shown(api: Api, store) -> None:
    run = a_run(log_bytes=1000, log_truncated=True)
    store(run, chunk(run, 0, "head"), chunk(run, 7, "tail\n"))

    assert api.get(f"/runs/{run.id}/log").text == "head\n… 991 bytes cut …\ntail\n"


def test_a_chunk_of_both_streams_is_shown_in_its_parts(api: Api, store) -> None:
    run = a_run()
    both = chunk(run, 0, "öut\nerr\nout\n", stream="stdout")
    both.lengths = "4,4,4"
    store(run, both, chunk(run, 1, "end\n", stream="stderr"))
    path, as_json = f"/runs/{run.id}/log", {"Accept": "application/json"}

    items = api.send("GET", path, headers=as_json).json["items"]

    assert [(item["seq"], item["stream"], item["text"]) for item in items] == [
        (0, "stdout", "öut\n"),
        (0, "stderr", "err\n"),
        (0, "stdout", "out\n"),
        (1, "stderr", "end\n"),
    ]
    assert api.get(path).text == "öut\nerr\nout\nend\n"
    assert api.get(f"{path}?stream=stderr").text == "err\nend\n"
    only_err = api.send("GET", f"{path}?stream=stderr", headers=as_json).json["items"]
    assert [item["text"] for item in only_err] == ["err\n", "end\n"]


def test_the_log_of_an_earlier_attempt_can_be_read(api: Api, store) -> None:
    run = a_run(attempt=2)
    store(run, chunk(run, 0, "first"), chunk(run, 0, "second", attempt=2))

    logs = [api.get(f"/runs/{run.id}/log{query}").text for query in ("", "?attempt=1")]

    assert logs == ["second", "first"]


@pytest.mark.parametrize(
    "tail, text", [(0, ""), (1, "d"), (2, "d"), (3, "öd"), (5, "blöd"), (99, "blöd")]
)
def test_the_tail_of_a_log_splits_no_character(api: Api, store, tail: int, text: str) -> None:
    run = a_run()
    store(run, chunk(run, 0, "blöd"))

    assert api.get(f"/runs/{run.id}/log?tail={tail}").text == text


def test_the_log_of_a_run_that_wrote_nothing_is_empty(api: Api, store) -> None:
    run = a_run()
    store(run)

    answer = api.get(f"/runs/{run.id}/log")

    assert (answer.status_code, answer.text) == (200, "")


@pytest.mark.parametrize(
    "query, text",
    [("offset=4", "zwö"), ("offset=7", ""), ("offset=99", ""), ("offset=0&tail=3", "wö")],
)
def test_a_log_is_read_on_from_an_offset(api: Api, store, query: str, text: str) -> None:
    run = a_run()
    store(run, chunk(run, 0, "one\n"), chunk(run, 1, "zwö"))

    assert api.get(f"/runs/{run.id}/log?{query}").text == text


def test_one_stream_of_a_log_is_read_alone_and_its_cut_still_shown(api: Api, store) -> None:
    run = a_run(log_bytes=100)
    store(
        run,
        chunk(run, 0, "out 1\n"),
        chunk(run, 1, "err 1\n", stream="stderr"),
        chunk(run, 5, "err 2\n", stream="stderr"),
        chunk(run, 6, "out 2\n"),
    )

    logs = [api.get(f"/runs/{run.id}/log?stream={name}").text for name in ("stdout", "stderr")]

    assert logs == ["out 1\n… 76 bytes cut …\nout 2\n", "err 1\n… 76 bytes cut …\nerr 2\n"]


def test_a_log_as_json_has_the_stream_and_the_instant_of_each_piece(api: Api, store) -> None:
    run = a_run()
    store(run, chunk(run, 0, "out\n"), chunk(run, 1, "err\n", stream="stderr"))

    answer = api.get(f"/runs/{run.id}/log", headers={"Accept": "application/json"})

    rest = {"attempt": 1, "at": "2026-11-23T12:00:00Z"}
    assert answer.json == {
        "items": [
            rest | {"seq": 0, "stream": "stdout", "text": "out\n"},
            rest | {"seq": 1, "stream": "stderr", "text": "err\n"},
        ]
    }


def test_bytes_of_the_text_are_not_counted_in_json(api: Api, store) -> None:
    run = a_run()
    store(run)

    answer = api.get(f"/runs/{run.id}/log?tail=9", headers={"Accept": "application/json"})

    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "text_only")
