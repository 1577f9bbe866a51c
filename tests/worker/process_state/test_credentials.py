"""Rights are as before a change, or the answer names what is not."""

import os

import pytest

from jobs_app.worker.process_state.credentials import Credentials
from tests.faults.changing_tasks import CHANGES, CHANGES_OF_ROOT, DAMAGES_OF_ROOT, LASTING
from tests.running import in_child


def _restored(change: object) -> list[str]:
    def act() -> list[str]:
        saved = Credentials()
        assert callable(change)
        change()
        return saved.restore()

    return in_child(act)


def test_nothing_is_named_without_a_change() -> None:
    assert _restored(list) == []


@pytest.mark.parametrize("what", ["a process group", "dumpable"])
def test_a_right_is_restored(what: str) -> None:
    assert _restored(CHANGES[what]) == []


def test_a_session_and_a_flag_that_stay_are_named() -> None:
    for change, name in LASTING.values():
        assert name in _restored(change)


if os.geteuid() == 0:
    # Only root can change these.

    @pytest.mark.parametrize("what", ["an effective user", "an effective group", "groups"])
    def test_root_gets_its_rights_back(what: str) -> None:
        assert _restored(CHANGES_OF_ROOT[what]) == []

    def test_what_root_gave_away_is_named() -> None:
        assert {"user_id", "capabilities"} <= set(_restored(DAMAGES_OF_ROOT["another user"]))
        assert _restored(DAMAGES_OF_ROOT["another root directory"]) == ["root_directory"]
