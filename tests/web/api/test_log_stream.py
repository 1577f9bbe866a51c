"""A log followed while it is written: what is sent, how soon, how often, and when it ends."""

import http.client
import json
import queue
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from jobs_app.accounts import people, tokens
from jobs_app.accounts.admin_token import ensure_admin_token
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Token
from jobs_app.db.models.runs import Run
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.valkey import free_port
from jobs_app.web import streams
from jobs_app.web.api import run_logs
from jobs_app.worker.output.log_store import SqlChunkStore
from jobs_app.worker.output.run_log import RunLog
from tests import forking
from tests.forking import Process, plain_environment
from tests.servers import crowding, wait_until
from tests.web.api.test_run_logs import chunk
from tests.web.conftest import NOW, Api, a_run


@dataclass(frozen=True)
class StreamEvent:
    """One server-sent event."""

    name: str
    data: Any
    id: str | None


def events_in(text: str) -> list[StreamEvent]:
    """Return the events of a stream; comments and what is half there are left out."""
    events = []
    for block in text.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        if "event" in fields:
            events.append(
                StreamEvent(fields["event"], json.loads(fields["data"]), fields.get("id"))
            )
    return events


def events_of(api: Api, run: Run, **options: Any) -> list[tuple[str, Any]]:
    """Return what the stream of a finished run says, chunks as their text."""
    answer = api.get(f"/runs/{run.id}/log/stream", **options)
    assert answer.status_code == 200, answer.text
    return [
        (event.name, event.data["text"] if event.name == "chunk" else event.data)
        for event in events_in(answer.text)
    ]


# ---- what is sent ----


def test_a_finished_log_is_sent_whole_and_then_the_end(api: Api, store) -> None:
    run = a_run(RunState.FAILED)
    store(run, chunk(run, 0, "a\u2028b\r\n"), chunk(run, 1, "err", stream="stderr"))

    answer = api.get(f"/runs/{run.id}/log/stream")

    assert answer.mimetype == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Accel-Buffering"] == "no"
    piece = {"attempt": 1, "at": "2026-11-23T12:00:00Z"}
    assert events_in(answer.text) == [
        StreamEvent("chunk", piece | {"seq": 0, "stream": "stdout", "text": "a\u2028b\r\n"}, "1-0"),
        StreamEvent("chunk", piece | {"seq": 1, "stream": "stderr", "text": "err"}, "1-1"),
        StreamEvent("end", {"state": "failed"}, None),
    ]


def test_the_attempts_of_a_run_follow_each_other(api: Api, store) -> None:
    run = a_run(attempt=2)
    store(run, *(chunk(run, seq, f"{n}-{seq}", attempt=n) for n in (1, 2) for seq in (0, 1)))

    pieces = [data for name, data in events_of(api, run) if name == "chunk"]

    assert pieces == ["1-0", "1-1", "2-0", "2-1"]


def test_a_cut_is_sent_with_its_size(api: Api, store) -> None:
    run = a_run(log_bytes=1000, log_truncated=True)
    store(run, chunk(run, 0, "head"), chunk(run, 7, "tail"), chunk(run, 8, "ends"))

    assert events_of(api, run) == [
        ("chunk", "head"),
        ("cut", {"attempt": 1, "bytes": 988}),
        ("chunk", "tail"),
        ("chunk", "ends"),
        ("end", {"state": "succeeded"}),
    ]


def test_a_cut_in_an_earlier_attempt_has_no_size(api: Api, store) -> None:
    run = a_run(attempt=2, log_bytes=3)
    store(run, chunk(run, 5, "old"), chunk(run, 0, "new", attempt=2))

    assert events_of(api, run)[0] == ("cut", {"attempt": 1, "bytes": None})


@pytest.mark.parametrize("how", ["header", "query"])
def test_a_reader_that_comes_back_gets_only_the_new_chunks(api: Api, store, how: str) -> None:
    run = a_run(attempt=2)
    store(run, *(chunk(run, seq, f"{n}-{seq}", attempt=n) for n in (1, 2) for seq in (0, 1)))
    options = {
        "header": {"headers": {"Last-Event-ID": "1-0"}},
        "query": {"query_string": {"last_event_id": "1-0"}},
    }

    pieces = [data for name, data in events_of(api, run, **options[how]) if name == "chunk"]

    assert pieces == ["1-1", "2-0", "2-1"]


def test_a_reader_that_comes_back_sees_a_cut_once(api: Api, store) -> None:
    run = a_run(log_bytes=1000)
    store(run, chunk(run, 0, "head"), chunk(run, 7, "tail"))
    text = api.get(f"/runs/{run.id}/log/stream").text
    cut = next(event for event in events_in(text) if event.name == "cut")

    again = events_of(api, run, headers={"Last-Event-ID": cut.id})

    assert again == [("chunk", "tail"), ("end", {"state": "succeeded"})]


def test_a_reader_that_comes_back_within_a_chunk_gets_the_rest_of_its_parts(
    api: Api, store
) -> None:
    run = a_run(RunState.FAILED)
    both = chunk(run, 1, "oneONEtwoTWO")
    both.lengths = "3,3,3,3"
    store(run, chunk(run, 0, "zero"), both, chunk(run, 2, "three"))
    events = events_in(api.get(f"/runs/{run.id}/log/stream").text)
    texts = [event.data["text"] for event in events[:-1]]
    assert texts == ["zero", "one", "ONE", "two", "TWO", "three"]
    assert [event.data["stream"] for event in events[1:5]] == ["stdout", "stderr"] * 2

    for number, event in enumerate(events[:-1], 1):
        again = events_of(api, run, headers={"Last-Event-ID": str(event.id)})

        assert [text for name, text in again if name == "chunk"] == texts[number:]
        assert "cut" not in dict(again)


def test_a_log_longer_than_a_batch_is_sent_whole(
    api: Api, store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs_app.web.api.run_logs.BATCH", 3)
    run = a_run()
    store(run, *(chunk(run, seq, str(seq)) for seq in range(9)))

    data = events_of(api, run)

    assert [text for _, text in data[:-1]] == [str(seq) for seq in range(9)]


@pytest.mark.parametrize(
    "event_id, status", [("1-0", 200), ("", 200), ("7", 400), ("1-x", 400), ("1-9999999999", 400)]
)
def test_a_last_event_id_is_one_of_ours(api: Api, store, event_id: str, status: int) -> None:
    run = a_run()
    store(run)

    answer = api.get(f"/runs/{run.id}/log/stream", headers={"Last-Event-ID": event_id})

    assert answer.status_code == status
    if status == 400:
        assert answer.json["code"] == "bad_event_id"


def test_a_stream_wants_a_token_and_a_run(api: Api, app: Any) -> None:
    path = "/api/v1/runs/0193583e-8f4a-7cc1-b7c3-5a3f6a8e2d10/log/stream"

    assert app.test_client().get(path).status_code == 401
    assert api.get(f"/{path}").json["code"] == "run_not_found"


def _revoke(session: Session) -> None:
    tokens.revoke(session, "viewer", by="root", at=NOW)


def _expire(session: Session) -> None:
    session.execute(update(Token).where(Token.name == "viewer").values(expires_at=NOW))
    session.commit()


def _disable(session: Session) -> None:
    people.set_disabled(session, "viewer", True, by="root", at=NOW)


def _remove(session: Session) -> None:
    people.remove(session, "viewer", by="root", at=NOW)


def _limit(session: Session) -> None:
    people.change(session, "viewer", {"tags": ["other"]}, by="root", at=NOW)


@pytest.mark.parametrize("lose", [_revoke, _expire, _disable, _remove, _limit])
def test_a_stream_ends_when_its_token_loses_a_right(
    api_of: Callable[..., Api],
    database: Database,
    store: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    lose: Callable[[Session], None],
) -> None:
    for name in ("RIGHTS_SECONDS", "HEARTBEAT_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(streams, name, 0)
    monkeypatch.setattr(run_logs, "POLL_SECONDS", 0)
    api = api_of("viewer")
    run = a_run(RunState.QUEUED)
    store(run)
    answer = api.app.test_client().get(
        f"/api/v1/runs/{run.id}/log/stream", headers={"Authorization": f"Bearer {api.token}"}
    )
    comments = iter(answer.response)
    before = list(islice(comments, 4))

    with database.session() as session:
        lose(session)
    after = list(islice(comments, 4))

    assert len(before) == 4
    assert len(after) < 4
    answer.close()


@pytest.mark.parametrize(
    "threads, max_streams, most",
    [(8, None, 5), (4, None, 1), (2, None, 1), (8, 8, 7), (8, 2, 2), (1, 9, 1)],
)
def test_streams_are_fewer_than_threads(threads: int, max_streams: int | None, most: int) -> None:
    assert Settings(web_threads=threads, max_streams=max_streams).effective_max_streams == most


# ---- a real server: how soon, how many, and when it ends ----


@dataclass
class Web:
    """A web server of its own, and the database behind it."""

    url: str
    token: str
    database: Database
    process: Process

    def client(self, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, **options)

    def make_run(self, state: RunState = RunState.RUNNING) -> UUID:
        run = a_run(state)
        with self.database.session() as session:
            session.add(run)
            session.commit()
        return run.id

    def set(self, run_id: UUID, **facts: Any) -> None:
        with self.database.session() as session:
            run = session.get_one(Run, run_id)
            for name, value in facts.items():
                setattr(run, name, value)
            session.commit()

    def log(self, run_id: UUID, *, attempt: int = 1, limit_bytes: int = 1_048_576) -> RunLog:
        return RunLog(SqlChunkStore(self.database, run_id, attempt), limit_bytes=limit_bytes)

    @contextmanager
    def following(self, run_id: UUID, **headers: str) -> Iterator["Following"]:
        deadline = time.monotonic() + 10
        following = Following(self, f"/api/v1/runs/{run_id}/log/stream", headers)
        while following.is_refused and time.monotonic() < deadline:
            # The server has not noticed yet that the client before has hung up.
            time.sleep(0.1)
            following = Following(self, f"/api/v1/runs/{run_id}/log/stream", headers)
        assert not following.is_refused
        try:
            yield following
        finally:
            following.close()


class Following:
    """An open stream, read by a thread: each line, with the moment at which it arrived."""

    def __init__(self, web: Web, path: str, headers: dict[str, str]) -> None:
        self.lines: queue.Queue[tuple[str, float]] = queue.Queue()
        self.ended = threading.Event()
        self._connection = http.client.HTTPConnection(web.url.removeprefix("http://"), timeout=30)
        token = {"Authorization": f"Bearer {web.token}"}
        self._connection.request("GET", path, headers=token | headers)
        self._socket = self._connection.sock
        self._answer = self._connection.getresponse()
        self.is_refused = self._answer.status == 503
        if self.is_refused:
            self._connection.close()
            return
        assert self._answer.status == 200
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with suppress(OSError, http.client.HTTPException):
            while line := self._answer.readline():
                self.lines.put((line.decode().rstrip("\n"), time.monotonic()))
        self._connection.close()
        self.ended.set()

    def close(self) -> None:
        """Hang up, whether the stream has ended or not."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._answer.close()

    def next(self, matches: Callable[[str], bool], *, seconds: float = 10) -> tuple[str, float]:
        """Return the next line that *matches* accepts, and when it arrived."""
        deadline = time.monotonic() + seconds
        while True:
            line, moment = self.lines.get(timeout=max(0.001, deadline - time.monotonic()))
            if matches(line):
                return line, moment

    def next_data(self, *, seconds: float = 10) -> Any:
        line, _ = self.next(lambda line: line.startswith("data: "), seconds=seconds)
        return json.loads(line.removeprefix("data: "))


@pytest.fixture
def web(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Web]:
    """A web server with five threads, two of them for streams."""
    (tmp_path / "jobs.db").write_bytes(migrated_sqlite.read_bytes())
    settings = Settings(data_dir=tmp_path, port=free_port())
    ensure_admin_token(settings)
    death_pipe = ParentDeathPipe()
    variables = {
        "HOME": str(tmp_path),
        "JOBS_DATA_DIR": str(tmp_path),
        "JOBS_PORT": str(settings.port),
        "JOBS_WEB_THREADS": "5",
    }
    with (tmp_path / "output").open("wb") as output:
        process = forking.start(
            "jobs_app",
            ["web"],
            environment=plain_environment() | death_pipe.environment() | variables,
            output=output,
            death_pipe_fd=death_pipe.read_fd,
        )
    token = settings.admin_token_file.read_text().strip()
    database = Database(settings.effective_database_url)
    running = Web(f"http://127.0.0.1:{settings.port}", token, database, process)
    try:
        wait_until(lambda: is_ready(running), "the server answers", timeout_seconds=30)
        yield running
    finally:
        process.kill()
        process.wait()
        death_pipe.close()
        database.close()


def is_ready(web: Web) -> bool:
    assert web.process.poll() is None, "the server has ended"
    try:
        with web.client() as client:
            return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_output_is_there_within_a_second_of_being_written(web: Web) -> None:
    run_id = web.make_run()
    run_log = web.log(run_id)
    delays = []

    with web.following(run_id) as following:
        following.next(lambda line: line.startswith("retry: "))
        for number in range(5):
            written = time.monotonic()
            run_log.write("stdout", f"line {number}\n".encode())
            line, arrived = following.next(lambda line: line.startswith("data: "))
            assert f"line {number}" in line
            delays.append(arrived - written)
    run_log.close()

    # The middle one: one late wake-up of a busy machine is not what this is about.
    assert statistics.median(delays) < crowding(), delays


def test_a_silent_stream_says_something_every_five_seconds(web: Web) -> None:
    run_id = web.make_run(RunState.QUEUED)

    with web.following(run_id) as following:
        opened = time.monotonic()
        _, first = following.next(lambda line: line.startswith(":"), seconds=20)
        _, second = following.next(lambda line: line.startswith(":"), seconds=20)

    assert max(first - opened, second - first) < 4.5 + crowding()


def test_a_cut_connection_costs_no_line_and_repeats_none(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    # From the 30th chunk on, chunks hold lines of both streams.
    monkeypatch.setattr("jobs_app.worker.output.run_log.SMALL_CHUNKS", 30)
    run_id = web.make_run()
    run_log = web.log(run_id)
    written = [f"line {number}\n" for number in range(60)]
    had: list[str] = []
    last: dict[str, str] = {}

    for start in range(0, 60, 20):
        with web.following(run_id, **last) as following:
            for line in written[start : start + 20]:
                # Lines of the two streams in turn: each is a chunk of its own.
                run_log.write("stdout" if len(line) % 2 else "stderr", line.encode())
                run_log.write("stderr" if len(line) % 2 else "stdout", b".\n")
            for _ in range(15):
                had.append(following.next_data()["text"])
                line, _ = following.next(lambda line: line.startswith("id: "))
                last = {"Last-Event-ID": line.removeprefix("id: ")}
    run_log.close()
    web.set(run_id, state=RunState.SUCCEEDED)
    with web.following(run_id, **last) as following:
        while "text" in (data := following.next_data()):
            had.append(data["text"])

    assert data == {"state": "succeeded"}
    assert "".join(had).replace(".\n", "") == "".join(written)
    assert "".join(had).count(".\n") == 60


def test_what_is_sent_and_what_is_cut_add_up_to_what_was_written(web: Web) -> None:
    run_id = web.make_run()
    run_log = web.log(run_id, limit_bytes=8192)
    cuts, had_bytes = [], 0

    with web.following(run_id) as following:
        run_log.write("stdout", b"first\n")
        had_bytes += len(following.next_data()["text"])
        for number in range(2000):
            run_log.write("stdout", f"{number:049}\n".encode())
        run_log.close()
        web.set(run_id, state=RunState.SUCCEEDED)
        while "state" not in (data := following.next_data()):
            had_bytes += len(data.get("text", ""))
            cuts += [data["bytes"]] if "bytes" in data else []

    assert cuts
    assert had_bytes + sum(cuts) == 6 + 2000 * 50


def test_the_stream_goes_on_with_the_next_attempt_and_ends_with_the_run(web: Web) -> None:
    run_id = web.make_run()
    with web.following(run_id) as following:
        first = web.log(run_id)
        first.write("stdout", b"first\n")
        first.close()
        web.set(run_id, state=RunState.RETRYING)
        assert following.next_data()["text"] == "first\n"
        web.set(run_id, state=RunState.RUNNING, attempt=2, log_bytes=0)
        second = web.log(run_id, attempt=2)
        second.write("stdout", b"second\n")
        second.close()
        assert following.next_data()["attempt"] == 2
        assert not following.ended.is_set()

        web.set(run_id, state=RunState.LOST, finished_at=NOW)

        assert following.next_data() == {"state": "lost"}
        assert following.ended.wait(5)


def test_streams_leave_threads_to_everybody_else(web: Web) -> None:
    run_id = web.make_run()
    path = f"/api/v1/runs/{run_id}/log/stream"

    with web.following(run_id), web.following(run_id), web.client() as client:
        refused = client.get(path)
        other = client.get(f"/api/v1/runs/{run_id}", timeout=20)

    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
    assert int(refused.headers["Retry-After"]) > 0
    assert other.status_code == 200


def test_a_reader_that_went_away_frees_its_place(web: Web) -> None:
    run_id = web.make_run()
    with web.following(run_id), web.following(run_id):
        pass

    def is_free() -> bool:
        with (
            web.client() as client,
            client.stream("GET", f"/api/v1/runs/{run_id}/log/stream") as answer,
        ):
            return answer.status_code == 200

    wait_until(is_free, "a stream can be opened", timeout_seconds=5)


def test_sigterm_ends_open_streams_at_once(web: Web) -> None:
    run_id = web.make_run()
    with web.following(run_id) as following, web.following(run_id):
        following.next(lambda line: line.startswith("retry: "))
        asked = time.monotonic()
        web.process.terminate()
        assert following.ended.wait(10)
        seconds = time.monotonic() - asked

    assert seconds < 2 * crowding()
    assert web.process.wait(timeout=10) == 0
