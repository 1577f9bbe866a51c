"""States as marks."""

import itertools

from jobs_app.core.states import JobState, RunState
from jobs_app.web.pages.marks import BARS, MARKS, mark


def test_every_state_has_a_mark_and_every_state_of_a_run_a_bar() -> None:
    assert {*map(str, RunState), *map(str, JobState)} <= MARKS.keys()
    assert {*map(str, RunState)} == BARS.keys()


def test_no_two_states_of_a_run_look_the_same() -> None:
    looks = [(MARKS[state].word, MARKS[state].drawing, BARS[state]) for state in RunState]

    for first, second in itertools.combinations(looks, 2):
        assert first[0] != second[0]
        assert first[1] != second[1]


def test_a_bare_mark_still_has_its_word() -> None:
    assert '<span class="visually-hidden">timed out</span>' in mark("timed_out", is_bare=True)


def test_the_text_of_a_mark_is_text() -> None:
    assert "&lt;b&gt;" in mark("failed", "<b>")
