"""Equal events are noted once in a window, and counted after that."""

from jobs_app.web.repeat_count import MAX_NAMED, WINDOW_SECONDS, RepeatCount


def test_an_event_is_new_once_in_a_window_and_its_repetitions_are_counted() -> None:
    now = [1000.0]
    count = RepeatCount[str](monotonic=lambda: now[0])

    assert [count.is_new(event) for event in ("a", "b", "a", "a")] == [True, True, False, False]
    assert count.ended() == ({}, 0)
    now[0] += WINDOW_SECONDS
    assert count.ended() == ({"a": 2}, 0)
    assert count.is_new("a")


def test_events_beyond_the_named_ones_are_a_number() -> None:
    now = [1000.0]
    count = RepeatCount[int](monotonic=lambda: now[0])

    new = [count.is_new(number) for number in range(1000)]
    now[0] += WINDOW_SECONDS

    assert sum(new) == MAX_NAMED
    assert count.ended() == ({}, 1000 - MAX_NAMED)
