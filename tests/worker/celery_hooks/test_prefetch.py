"""When messages are prefetched, how long they are kept, and where they go."""

from collections.abc import Callable, Sequence
from operator import itemgetter

import pytest

from jobs_app.worker.celery_hooks.prefetch import KEEP_SECONDS, SHORT_SECONDS, Prefetch


def nothing() -> None:
    """Do nothing."""


class Source:
    """A queue that notes what it gets back."""

    def __init__(self) -> None:
        self.returned: list[str] = []
        self.on_its_way: Callable[[], object] = nothing

    def requeue(self, tags: Sequence[str]) -> None:
        self.returned += tags

    def receive_pending(self) -> None:
        self.on_its_way()


class Worker:
    """A worker of as many slots; the test sets its clock."""

    def __init__(self, slots: int, *, is_eager: bool = True) -> None:
        self.slots = slots
        self.working: list[str] = []
        self.now = 1000.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.source = Source()
        self.prefetch = Prefetch(
            lambda: self.slots,
            lambda: len(self.working),
            is_eager=is_eager,
            call_after=lambda seconds, call: self.timers.append((self.now + seconds, call)),
            now=lambda: self.now,
        )
        self.prefetch.open(self.source)

    def receive(self, *tags: str, may_wait: bool = True) -> None:
        """Receive messages."""
        for tag in tags:
            # mypy cannot infer a lambda with defaults.
            self.prefetch.receive(tag, lambda tag=tag: self.working.append(tag), may_wait=may_wait)  # type: ignore[misc]

    def end(self, tag: str, *, seconds: float = 0.001) -> None:
        """End a run that took so long."""
        self.working.remove(tag)
        self.prefetch.note_finished(seconds)
        self.prefetch.deliver()

    def asks(self) -> bool:
        """Tell whether it may ask for a message."""
        return self.prefetch.may_fetch

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.timers and (first := min(self.timers, key=itemgetter(0)))[0] <= end:
            self.timers.remove(first)
            self.now, call = first
            call()
        self.now = end


@pytest.fixture
def worker() -> Worker:
    """A worker with one place, whose runs are short at present."""
    worker = Worker(1)
    worker.receive("first")
    worker.end("first")
    return worker


def test_a_message_is_delivered_at_once_if_a_slot_is_free(worker: Worker) -> None:
    worker.receive("a")

    assert (worker.working, len(worker.prefetch)) == (["a"], 0)


def test_one_that_there_is_no_place_for_is_handed_over_when_there_is(worker: Worker) -> None:
    worker.receive("a", "b")
    assert worker.working == ["a"]

    worker.end("a")

    assert worker.working == ["b"]


def test_nothing_is_prefetched_when_no_run_has_ended_for_a_while(worker: Worker) -> None:
    worker.receive("a")
    assert worker.asks()

    worker.wait(SHORT_SECONDS)

    assert not worker.asks()
    worker.end("a")
    assert worker.asks()


def test_nothing_is_prefetched_after_a_long_run(worker: Worker) -> None:
    worker.wait(SHORT_SECONDS)
    worker.receive("a")
    worker.end("a", seconds=SHORT_SECONDS * 1.1)

    worker.receive("b")

    assert not worker.asks()


def test_no_more_is_kept_than_there_are_places() -> None:
    worker = Worker(2)
    worker.receive("a", "b", "c")
    worker.end("a")
    worker.receive("d")
    assert worker.asks()

    worker.receive("e")

    assert len(worker.prefetch) == 2
    assert not worker.asks()


def test_what_no_place_gets_free_for_goes_back_in_its_order() -> None:
    worker = Worker(2)
    worker.receive("a", "b", "c", "d")

    worker.wait(KEEP_SECONDS * 1.01)

    assert (worker.source.returned, len(worker.prefetch)) == (["c", "d"], 0)
    worker.working.remove("a")
    worker.prefetch.deliver()
    assert worker.working == ["b"]


def test_how_long_one_is_kept_is_counted_from_when_it_came(worker: Worker) -> None:
    worker.receive("a", "b")
    worker.wait(KEEP_SECONDS * 0.6)
    worker.end("a")
    worker.receive("c")

    worker.wait(KEEP_SECONDS * 0.9)
    assert worker.source.returned == []
    worker.wait(KEEP_SECONDS * 0.2)

    assert worker.source.returned == ["c"]


def test_after_a_requeue_nothing_is_prefetched_until_a_short_run_ends(
    worker: Worker,
) -> None:
    worker.receive("a")
    worker.prefetch.note_finished(0.001)
    worker.receive("other", may_wait=False)

    assert worker.source.returned == ["other"]
    assert not worker.asks()
    worker.end("a")
    worker.receive("b")
    assert worker.asks()


def test_none_overtakes_one_that_is_kept(worker: Worker) -> None:
    worker.receive("a", "b")
    # The notice of its end comes with the next turn of the loop.
    worker.working.remove("a")

    worker.receive("c")

    assert worker.working == ["b"]
    worker.end("b")
    assert worker.working == ["c"]


def test_a_slot_that_becomes_free_without_notice_is_found(worker: Worker) -> None:
    """One of Celery's own tasks has ended."""
    worker.receive("a", "b")
    worker.working.remove("a")

    worker.wait(KEEP_SECONDS)

    assert (worker.working, worker.source.returned) == (["b"], [])


def test_a_worker_that_stops_gives_back_what_is_kept_and_what_is_on_its_way(
    worker: Worker,
) -> None:
    worker.receive("a", "b")
    worker.working.clear()
    worker.source.on_its_way = lambda: worker.receive("c")

    worker.prefetch.close()

    assert (worker.source.returned, worker.working) == (["b", "c"], [])
    assert not worker.asks()
    worker.prefetch.deliver()
    assert worker.working == []


def test_messages_of_a_lost_connection_are_forgotten(worker: Worker) -> None:
    worker.receive("a", "b")

    worker.prefetch.open(Source())

    worker.end("a")
    assert (worker.working, len(worker.prefetch)) == ([], 0)
    worker.receive("c", "d")
    worker.end("c")
    assert worker.working == ["d"]


def test_without_an_event_loop_nothing_is_prefetched() -> None:
    worker = Worker(1, is_eager=False)
    worker.receive("a")
    worker.prefetch.note_finished(0.001)

    assert not worker.asks()
