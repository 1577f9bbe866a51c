"""A run's progress is what its task reported last, and reporting it costs the task nothing."""

import threading
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

import jobs_app
from jobs_app.tasks.context import current_run
from jobs_app.worker.output.secret_masking import Mask
from jobs_app.worker.progress import META_BYTES, Progress
from tests.running import a_run
from tests.servers import wait_until

NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)


class Store:
    """Keeps what is written; `is_down` makes it refuse, `may_write` holds it up."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self.is_down = False
        self.may_write = threading.Event()
        self.may_write.set()
        self.is_asked = threading.Event()

    def __call__(self, shown: dict[str, Any]) -> None:
        self.is_asked.set()
        self.may_write.wait(5)
        if self.is_down:
            raise OSError("no database")
        self.written.append(shown)

    @property
    def messages(self) -> list[str]:
        return [shown["message"] for shown in self.written]


def progress(store: Store, **options: Any) -> Progress:
    return Progress(store, now=lambda: NOON, **options)


def test_what_is_reported_is_stored_with_its_instant() -> None:
    store = Store()
    reporting = progress(store)

    reporting.report(0.4, "4,000 of 10,000 rows", {"rows": 4000})

    wait_until(lambda: bool(store.written), "it is stored")
    assert store.written == [
        {
            "fraction": 0.4,
            "message": "4,000 of 10,000 rows",
            "meta": {"rows": 4000},
            "at": "2026-06-15T12:00:00Z",
        }
    ]
    assert reporting.close() is None


def test_of_many_reports_the_first_and_the_last_are_stored() -> None:
    store = Store()
    reporting = progress(store, write_seconds=60)

    reporting.report(0.0, "first", None)
    wait_until(lambda: bool(store.written), "the first is stored")
    for number in range(1000):
        reporting.report(number / 1000, f"row {number}", None)
    unstored = reporting.close()

    assert store.messages == ["first"]
    assert unstored is not None
    assert unstored["message"] == "row 999"


def test_at_most_one_write_comes_in_each_span() -> None:
    store = Store()
    reporting = progress(store, write_seconds=0.2)
    started = threading.Event()

    def report() -> None:
        for number in range(40):
            reporting.report(number / 40, str(number), None)
            started.wait(0.02)

    began = time.monotonic()
    thread = threading.Thread(target=report)
    thread.start()
    thread.join()
    reporting.close()

    assert 2 <= len(store.written) <= (time.monotonic() - began) / 0.2 + 1
    assert store.messages[0] == "0"


def test_a_store_that_is_down_loses_nothing_but_time() -> None:
    store = Store()
    store.is_down = True
    reporting = progress(store, write_seconds=0.05)

    reporting.report(0.1, "early", None)
    reporting.report(0.2, "late", None)
    store.is_down = False

    wait_until(lambda: store.messages[-1:] == ["late"], "it is stored once that is possible")
    assert reporting.close() is None


def test_a_report_while_another_is_written_is_not_forgotten() -> None:
    store = Store()
    store.may_write.clear()
    reporting = progress(store, write_seconds=0.01)

    reporting.report(0.1, "first", None)
    reporting.report(0.2, "second", None)
    store.may_write.set()

    wait_until(lambda: store.messages[-1:] == ["second"], "the newest is stored")


def test_a_run_without_reports_starts_no_thread() -> None:
    before = threading.active_count()

    assert progress(Store()).close() is None
    assert threading.active_count() == before


def test_a_report_after_the_end_is_ignored() -> None:
    store = Store()
    reporting = progress(store)

    reporting.close()
    reporting.report(1.0, "too late", None)

    assert reporting.close() is None
    assert store.written == []


@pytest.mark.parametrize(
    "fraction, shown",
    [(0.5, 0.5), (-1, 0.0), (1.0000001, 1.0), (70, 1.0), (float("nan"), None), (None, None)],
)
def test_a_fraction_lies_between_0_and_1(fraction: float | None, shown: float | None) -> None:
    store = Store()
    reporting = progress(store, write_seconds=60)
    reporting.report(0, "first", None)
    wait_until(lambda: bool(store.written), "the first is stored")

    reporting.report(fraction, None, None)

    unstored = reporting.close()
    assert unstored is not None
    assert unstored["fraction"] == shown


@pytest.mark.parametrize(
    "meta, shown",
    [
        ({"big": "x" * META_BYTES}, {"truncated": True, "bytes": META_BYTES + 11}),
        ({"at": NOON}, {"at": "2026-06-15 12:00:00+00:00"}),
        ({"nan": float("nan"), "rows": 1}, {"nan": None, "rows": 1}),
        ({"many": [0] * META_BYTES}, {"truncated": True, "bytes": META_BYTES}),
        ({"nul": "a\x00b\ud800"}, {"nul": "a\ufffdb?"}),
        ({}, None),
    ],
)
def test_meta_is_what_a_database_can_hold(meta: dict[str, Any], shown: Any) -> None:
    store = Store()
    reporting = progress(store)

    reporting.report(None, "a\x00b" + "c" * 1000, meta)

    wait_until(lambda: bool(store.written), "it is stored")
    assert store.written[0]["meta"] == shown
    assert store.written[0]["message"] == "a\ufffdb" + "c" * 496 + "…"


def test_secrets_are_taken_out_before_anything_is_cut() -> None:
    store = Store()
    reporting = progress(store, mask=Mask(["hunter2-hunter2"]).json)

    meta = {"token": "hunter2-hunter2", "error": ValueError("hunter2-hunter2")}
    reporting.report(None, "x" * 490 + "hunter2-hunter2", meta)

    wait_until(lambda: bool(store.written), "it is stored")
    assert store.written[0]["message"] == "x" * 490 + "***"
    assert store.written[0]["meta"] == {"token": "***", "error": "***"}


def test_a_report_is_what_it_was_when_it_was_made() -> None:
    store = Store()
    store.may_write.clear()
    reporting = progress(store, write_seconds=60)
    reporting.report(0, "first", None)
    assert store.is_asked.wait(5)

    meta = {"n": 1}
    reporting.report(0.5, "second", meta)
    meta["n"] = 2

    store.may_write.set()
    unstored = reporting.close()
    assert unstored is not None
    assert unstored["meta"] == {"n": 1}


class Unreadable:
    """A value that has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_message_without_text_does_not_fail_the_task() -> None:
    store = Store()
    reporting = progress(store)

    # The wrong type is what the test is about.
    reporting.report(0.5, Unreadable(), {"what": Unreadable()})  # type: ignore[arg-type]

    wait_until(lambda: bool(store.written), "it is stored")
    assert "cannot be read" in store.written[0]["message"]
    assert "cannot be read" in store.written[0]["meta"]["what"]


def test_a_task_knows_its_run_and_reports_to_it() -> None:
    store = Store()
    reporting = progress(store)
    context = a_run(run_id=UUID(int=7), scheduled_for=NOON, attempt=3, progress=reporting)
    token = current_run.set(context)
    try:
        info = jobs_app.current_run()
        jobs_app.progress(0.5, "half", meta={"n": 1})
    finally:
        current_run.reset(token)

    assert info is not None
    assert (info.id, info.job, info.scheduled_for, info.attempt) == (
        UUID(int=7),
        "nightly-report",
        NOON,
        3,
    )
    wait_until(lambda: store.messages == ["half"], "it is stored")


def test_another_thread_reports_through_what_it_is_handed() -> None:
    store = Store()
    reporting = progress(store)
    token = current_run.set(a_run(progress=reporting))
    info = jobs_app.current_run()
    current_run.reset(token)
    assert info is not None

    thread = threading.Thread(target=lambda: info.progress(0.9, "from a thread"))
    thread.start()
    thread.join()

    wait_until(lambda: store.messages == ["from a thread"], "it is stored")


def test_outside_a_run_nothing_happens() -> None:
    jobs_app.progress(0.5, "nobody listens")

    assert jobs_app.current_run() is None
