"""The error with which a run or an attempt ended, as it is stored."""

from jobs_app.core.run_error import RunError


def test_an_error_is_read_as_it_was_stored() -> None:
    error = RunError("ValueError", "no such table", "line 1\nline 2")

    assert RunError.from_json(error.to_json()) == error


def test_a_row_without_an_error_has_none() -> None:
    assert RunError.from_json(None) is None


def test_a_document_that_lacks_fields_is_still_an_error() -> None:
    assert RunError.from_json({"message": "gone"}) == RunError("Error", "gone")


def test_a_mask_reaches_each_text_of_an_error() -> None:
    error = RunError("Secret", "a Secret", "in Secret")

    assert error.masked(lambda text: text.replace("Secret", "***")) == RunError(
        "***", "a ***", "in ***"
    )


def test_an_error_without_a_message_is_its_type_alone() -> None:
    assert str(RunError("KeyError", "")) == "KeyError"
