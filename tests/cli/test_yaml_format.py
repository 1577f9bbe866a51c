"""Jobs as YAML text: what is read, what is refused, and that nothing is lost on the way."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs_app.cli.yaml_format import read_jobs, write_jobs
from jobs_app.core.yaml_values import Unreadable

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=40)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
    | st.sampled_from(["on", "no", "1:30", "0x10", "2026-12-01", "1e5", "=", "<<", "~", "a\n b\n"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXT, VALUES, max_size=5))
def test_what_is_written_is_read_back_the_same(kwargs: dict[str, Any]) -> None:
    jobs = [{"name": "a", "task": "t", "kwargs": kwargs}]

    assert read_jobs(write_jobs(jobs)) == jobs


def test_a_script_is_written_line_by_line() -> None:
    text = write_jobs([{"name": "a", "kwargs": {"command": "set -e\nmake\n"}}])

    assert text == "- name: a\n  kwargs:\n    command: |\n      set -e\n      make\n"


def test_what_would_harm_a_terminal_is_written_as_escapes() -> None:
    jobs = [{"name": "a", "description": "naïve \u202e\x9b31m"}]

    text = write_jobs(jobs)

    assert text.isascii()
    assert read_jobs(text) == jobs


@pytest.mark.parametrize(
    "text",
    [
        "- {name: a, task: t}\n- {name: b, task: t}",
        "a: {task: t}\nb: {name: b, task: t}",
        "a: &a {task: t}\nb: {<<: *a}",
    ],
)
def test_a_list_and_a_mapping_by_name_are_the_same(text: str) -> None:
    assert read_jobs(text) == [{"name": "a", "task": "t"}, {"name": "b", "task": "t"}]


def test_one_job_alone_is_read() -> None:
    assert read_jobs("name: a\ntask: t") == [{"name": "a", "task": "t"}]


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "It has no jobs. Write a list of jobs, or a mapping of jobs by name."),
        ("[]", "no jobs"),
        ("just text", "no jobs"),
        ("- a", "Entry 1"),
        ("- {task: t}", "Entry 1"),
        ("a: t", "must be a mapping"),
        ("a: {name: b, task: t}", "calls itself 'b'"),
        ("- {name: a}\n- {name: a}", "there twice"),
        ("x" * 99 + ": t", "xx…' is not a job"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_list_of_jobs_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=re.escape(why)):
        read_jobs(text)
