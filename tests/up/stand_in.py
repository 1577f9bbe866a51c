"""Runs a text of Python in a process that `up` has forked, as a stand-in for one of ours."""

import os
import sys

from jobs_app.core import handed_settings
from jobs_app.up.parent_death import DEATH_PIPE_VARIABLE

TARGET = "tests.up.stand_in:run"


def run(code: str, *arguments: str | int) -> None:
    """Run *code* with the other arguments but the last three, which are descriptors."""
    *words, output, death_pipe, secrets = arguments
    for standard in (1, 2):
        os.dup2(int(output), standard)
    os.close(int(output))
    sys.argv = ["-c", *map(str, words)]
    os.environ[DEATH_PIPE_VARIABLE] = str(death_pipe)
    handed_settings.receive(int(secrets))
    exec(code, {"__name__": "__main__"})  # noqa: S102 (the tests write the code)
