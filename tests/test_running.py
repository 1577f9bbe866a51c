"""What the tests of tasks share."""

import faulthandler
import time

import pytest

from tests import running


def test_a_forked_process_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "ANSWER_SECONDS", 0.2)

    def hangs() -> None:
        # It would print its stack among the results of the tests.
        faulthandler.disable()
        time.sleep(100)

    with pytest.raises(AssertionError, match=r"has not answered within 0\.2 s"):
        running.in_child(hangs)
