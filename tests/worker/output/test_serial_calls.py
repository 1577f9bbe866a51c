"""Calls are made in their order, none within another, and nobody waits for ever."""

import threading

import pytest

from jobs_app.worker.output.serial_calls import SerialCalls


def test_a_call_within_a_call_is_made_after_it() -> None:
    calls, events = SerialCalls(), list[str]()

    def outer() -> None:
        calls.call(events.append, "inner")
        events.append("outer")

    calls.call(outer)

    assert events == ["outer", "inner"]


def test_a_call_of_others_within_a_call_is_made_at_once() -> None:
    calls, others, events = SerialCalls(), SerialCalls(), list[str]()

    def outer() -> None:
        others.call(events.append, "inner")
        events.append("outer")

    calls.call(outer)

    assert events == ["inner", "outer"]


def test_two_threads_that_call_what_the_other_calls_do_not_wait_for_each_other() -> None:
    first, second, events = SerialCalls(), SerialCalls(), list[str]()
    both_are_in = threading.Barrier(2)

    def cross(other: SerialCalls, event: str) -> None:
        both_are_in.wait(10)
        other.call(events.append, event)
        both_are_in.wait(10)

    thread = threading.Thread(target=first.call, args=(cross, second, "of the first"), daemon=True)
    thread.start()
    second.call(cross, first, "of the second")
    thread.join(10)

    assert not thread.is_alive()
    assert sorted(events) == ["of the first", "of the second"]


def test_a_thread_waits_until_its_call_was_made() -> None:
    calls, events = SerialCalls(), list[str]()
    is_in, may_end = threading.Event(), threading.Event()

    def first() -> None:
        is_in.set()
        may_end.wait(10)
        events.append("first")

    thread = threading.Thread(target=calls.call, args=(first,))
    thread.start()
    assert is_in.wait(10)
    threading.Timer(0.05, may_end.set).start()
    calls.call(events.append, "second")
    events.append("back")
    thread.join(10)

    assert events == ["first", "second", "back"]


def test_a_call_behind_one_that_fails_is_made_by_the_next() -> None:
    calls, events = SerialCalls(), list[str]()

    def fail() -> None:
        calls.call(events.append, "waits")
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011  # it has no text
        calls.call(fail)
    # The failure ended the loop, not what it had to do.
    calls.call(events.append, "next")

    assert events == ["waits", "next"]
