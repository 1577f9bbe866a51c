"""The log of our own processes goes on, whatever user code does to logging."""

import subprocess
import sys

import pytest

PROGRAM = """
import logging
import logging.config
from jobs_app.core.observing_settings import ObservingSettings
from jobs_app.core.process_log import configure_log, protect_log

ours = logging.getLogger("jobs_app.worker.execution")
celery = logging.getLogger("celery.worker")
configure_log(ObservingSettings(), process="worker", text_format="OURS %(message)s")
exec(compile({code!r}, "code", "exec"))
protect_log()
ours.info("run_started")
ours.debug("message_dropped")
celery.info("ready")
logging.getLogger("plain").warning("of a task")
"""

CODE = {
    "nothing": "pass",
    "dictConfig": "logging.config.dictConfig({'version': 1})",
    "a root": "logging.config.dictConfig({'version': 1, 'root': {'level': 'ERROR'}})",
    "a level": "logging.root.setLevel('ERROR')",
    "disable": "logging.disable(logging.CRITICAL)",
    "no handlers": "logging.root.handlers.clear()",
    "a file": "logging.basicConfig(force=True, filename='/dev/null')",
    "an error handler": "logging.root.handlers[0].setLevel('ERROR')",
    "disabled": "ours.disabled = True",
    "not passed on": "logging.getLogger('jobs_app').propagate = False",
}
#: Those that the default profile tries, each in a process of its own.
USUAL = {"dictConfig", "disable", "an error handler"}


@pytest.mark.parametrize(
    "what",
    [name if name in USUAL else pytest.param(name, marks=pytest.mark.nightly) for name in CODE],
)
def test_our_lines_are_written_once(what: str) -> None:
    program = PROGRAM.format(code=CODE[what])

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    lines = [line for line in ended.stderr.splitlines() if "run_started" in line]
    # An error level of another handler drops the line there, so ours writes it.
    assert lines == ["OURS run_started"]
    assert ended.stderr.count("OURS ready") == 1
    assert "message_dropped" not in ended.stderr


def test_a_format_of_user_code_applies_to_our_lines_too() -> None:
    code = "logging.basicConfig(force=True, format='SHORT %(message)s', level='ERROR')"

    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(code=code)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stderr.splitlines() == ["SHORT run_started", "SHORT ready"]
