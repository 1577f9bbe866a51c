"""An exit of a task is the end of its run, and nothing else."""

import sys
from typing import NoReturn

import pytest

from jobs_app.core.states import RunState
from jobs_app.worker.runner import guarded


@pytest.mark.parametrize("code", [3, "went wrong", None])
def test_an_exit_of_a_task_is_not_that_of_its_pool_process(
    monkeypatch: pytest.MonkeyPatch, code: int | str | None
) -> None:
    """billiard puts a function of its own there, and ends the process with the last code."""
    codes: list[object] = []

    def exits(status: object = None) -> NoReturn:
        codes.append(status)
        raise SystemExit(status)

    monkeypatch.setattr(sys, "exit", exits)
    outcome = guarded(lambda: sys.exit(code), lambda: None)

    assert outcome.state is (RunState.FAILED if code else RunState.SUCCEEDED)
    assert codes[-1] is None
