"""Which fields of two documents differ."""

from typing import Any

import pytest

from jobs_app.core.document_diff import differences


@pytest.mark.parametrize(
    "before, after, names",
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": [1]}, {"a": [True]}, ["a"]),
        ({"a": None, "b": {}}, {}, []),
        ({"b": 1, "a": {"c": 1, "d": 2}}, {"b": 2, "a": {"c": 1, "d": 3}}, ["a.d", "b"]),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, ["a.b.c"]),
    ],
)
def test_the_fields_that_differ_are_named(
    before: dict[str, Any], after: dict[str, Any], names: list[str]
) -> None:
    assert [field.name for field in differences(before, after)] == names


def test_fields_below_a_depth_are_one_field() -> None:
    before: dict[str, Any] = {"a": {"b": {"c": 1, "d": 1}}}
    after: dict[str, Any] = {"a": {"b": {"c": 2, "d": 2}}}

    assert [field.name for field in differences(before, after, depth=2)] == ["a.b"]
