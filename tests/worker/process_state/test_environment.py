"""The environment variables, and those of programs, are as before a change."""

import os
import subprocess
import time

import pytest

from jobs_app.worker.process_state.environment import Environment
from tests.faults.changing_tasks import CHANGES
from tests.running import in_child

NAMES = (
    "a variable",
    "a variable of programs",
    "the path",
    "no variables",
    "another environ",
    "a zone",
    "a zone without its variable",
)


def _state() -> tuple[object, ...]:
    ended = subprocess.run(["/usr/bin/env"], capture_output=True, check=True)
    # readline, which pytest imports, sets these two past Python.
    lines = [x for x in ended.stdout.split(b"\n") if not x.startswith((b"COLUMNS=", b"LINES="))]
    return dict(os.environ), sorted(lines), time.tzname, time.localtime(0)[:5]


@pytest.mark.parametrize("what", NAMES)
def test_variables_and_zone_are_restored(what: str) -> None:
    def act() -> bool:
        saved, before = Environment(), _state()
        answers = []
        for _ in range(2):
            CHANGES[what]()
            answers.append(saved.restore())
        return answers == [[], []] and _state() == before

    assert in_child(act)
