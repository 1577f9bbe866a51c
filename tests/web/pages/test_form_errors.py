"""Errors of a document, each at the field of the form that it belongs to."""

import pytest

from jobs_app.core.errors import FieldError
from jobs_app.web.pages.form_errors import at_lines, by_field, combined, summary

NAMES = {"/name", "/kwargs", "/kwargs/window", "/kwargs/a~1b", "/tags", "/notify"}


@pytest.mark.parametrize(
    "error, name",
    [
        (FieldError("/name", "invalid_name", "x"), "/name"),
        (FieldError("/tags/3", "invalid_tag", "x"), "/tags"),
        (FieldError("/kwargs/window/days", "too_small", "x"), "/kwargs/window"),
        (FieldError("/kwargs/other/days", "unknown_argument", "x"), "/kwargs"),
        (FieldError("/kwargs", "missing_argument", "x", "a/b"), "/kwargs/a~1b"),
        (FieldError("", "missing", "x", "name"), "/name"),
        (FieldError("", "missing", "x", "other"), ""),
        (FieldError("/nowhere", "x", "x"), ""),
    ],
)
def test_an_error_belongs_to_the_nearest_field(error: FieldError, name: str) -> None:
    assert by_field([error], NAMES) == {name: ["x"]}


def test_the_summary_links_to_the_fields() -> None:
    errors = [FieldError("/name", "a", "first"), FieldError("", "b", "second")]

    found = summary(by_field([*errors, errors[0]], NAMES))

    assert found == [("f_2f_name", "first"), ("", "second")]


def test_what_follows_from_an_unreadable_text_is_not_said_twice() -> None:
    own = [FieldError("/schedule/at", "unreadable", "no day")]
    checked = [
        FieldError("/schedule/at", "not_an_instant", "no instant"),
        FieldError("/schedule", "one_schedule", "it has none"),
        FieldError("/schedule/timezone", "unknown_timezone", "no zone"),
        FieldError("", "missing", "name is required", "name"),
    ]

    assert combined(own, checked) == [own[0], checked[2], checked[3]]


def test_an_error_has_the_line_of_the_nearest_value() -> None:
    lines = {"": 1, "/0": 1, "/0/kwargs": 3, "/0/kwargs/days": 4}
    errors = [
        FieldError("/kwargs/days", "a", "at the value"),
        FieldError("/kwargs/x", "a", "above"),
        FieldError("/name", "a", "nowhere"),
    ]

    assert at_lines(errors, lines, prefix="/0") == [
        (4, "at the value"),
        (3, "above"),
        (None, "nowhere"),
    ]
