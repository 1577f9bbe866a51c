"""What the forms of people and tokens send."""

import pytest
from flask import Flask

from jobs_app.core.errors import Conflict, FieldError, InvalidInput
from jobs_app.web.pages.account_forms import errors_by_field, tags_of, token_fields


@pytest.mark.parametrize(
    "text, tags",
    [("", None), (" , ", None), ("a", ("a",)), ("a, b,a  c", ("a", "b", "c"))],
)
def test_tags_are_separated_by_commas_or_spaces(text: str, tags: tuple[str, ...] | None) -> None:
    assert tags_of(text) == tags


@pytest.mark.parametrize("days, is_endless", [("0", True), ("90", False), ("9999", False)])
def test_a_token_ends_unless_the_form_says_never(days: str, is_endless: bool) -> None:
    with Flask("test").test_request_context(method="POST", data={"name": " a ", "days": days}):
        fields = token_fields()

    assert fields["name"] == "a"
    assert (fields["expires_at"] is None) is is_endless


def test_errors_are_sorted_by_field() -> None:
    first = FieldError("/tags/0", "a", "The first.")
    error = InvalidInput("", errors=[first, FieldError("/tags/1", "a", "The second.")])

    assert errors_by_field(error) == {"tags": "The first."}
    assert errors_by_field(Conflict("Taken.")) == {"": "Taken."}
