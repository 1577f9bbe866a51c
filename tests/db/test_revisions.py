"""The known revisions of the database."""

import pytest
from alembic.util.exc import CommandError

from jobs_app.db.revisions import is_below, is_newer, newest_revision


@pytest.mark.parametrize(
    "target, current, answer",
    [
        ("0003", "0008", True),
        ("0008", "0008", False),
        ("0008", "0003", False),
        ("head", "0003", False),
        ("base", None, True),
        ("-1", "0008", True),
        ("+1", "0003", False),
        ("0003", None, False),
        ("0003", "9999", False),
    ],
)
def test_older_revisions_are_below(target: str, current: str | None, answer: bool) -> None:
    assert is_below(target, current) is answer


@pytest.mark.parametrize("target", ["", "0099"])
def test_a_revision_that_does_not_exist_is_an_error(target: str) -> None:
    with pytest.raises(CommandError):
        is_below(target, "0008")


def test_only_an_unknown_revision_is_newer() -> None:
    assert not is_newer(None)
    assert not is_newer(newest_revision())
    assert is_newer("9999")
