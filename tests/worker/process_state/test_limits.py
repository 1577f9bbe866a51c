"""Limits, umask and processors are as before a change, or the answer names what is not."""

import os
import resource

import pytest

from jobs_app.worker.process_state.limits import Limits
from tests.faults.changing_tasks import CHANGES
from tests.running import in_child


@pytest.mark.parametrize("what", ["small files", "little memory", "few files", "a umask"])
def test_a_lowered_limit_is_restored(what: str) -> None:
    def act() -> bool:
        saved = Limits()
        CHANGES[what]()
        is_restored = saved.restore() == []
        with open(os.devnull, "rb") as file:
            return is_restored and file.fileno() > 2 and saved.restore() == []

    assert in_child(act)


def test_a_hard_limit_is_restored_or_named() -> None:
    def act() -> tuple[list[str], tuple[int, int], tuple[int, int]]:
        saved, before = Limits(), resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))
        return saved.restore(), before, resource.getrlimit(resource.RLIMIT_NOFILE)

    changed, before, after = in_child(act)

    # Root may raise it again, unless it lacks CAP_SYS_RESOURCE.
    assert (changed, after) in (([], before), (["RLIMIT_NOFILE"], (20, 20)))
