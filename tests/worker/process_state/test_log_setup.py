"""Loggers, handlers and the switches of logging are as before a change."""

import logging

import pytest

from jobs_app.worker.process_state.log_setup import LogSetup
from tests.faults.changing_tasks import CHANGES
from tests.running import in_child

NAMES = (
    "dictConfig",
    "basicConfig",
    "disabled logging",
    "no root handlers",
    "muted root handlers",
    "a silent logger",
    "a level",
    "another record",
)


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.mark.parametrize("what", NAMES)
def test_records_are_heard_again_once(what: str) -> None:
    def act() -> tuple[list[str], list[str]]:
        heard = _Heard()
        logging.root.addHandler(heard)
        plain = logging.getLogger("plain")
        saved = LogSetup()
        for _ in range(2):
            CHANGES[what]()
            names = saved.restore()
        plain.warning("one")
        logging.getLogger("ledger").warning("two")
        return names, heard.messages

    assert in_child(act) == ([], ["one", "two"])


def test_the_names_of_levels_are_restored() -> None:
    def act() -> tuple[str, int]:
        saved = LogSetup()
        CHANGES["other level names"]()
        logging.addLevelName(15, "BETWEEN")
        saved.restore()
        return logging.getLevelName(logging.WARNING), logging.getLevelNamesMapping()["WARNING"]

    assert in_child(act) == ("WARNING", logging.WARNING)


def test_a_logger_in_place_of_a_placeholder_is_restored_too() -> None:
    def act() -> bool:
        logging.getLogger("made.below")
        saved = LogSetup()
        logging.getLogger("made").propagate = False
        saved.restore()
        return logging.getLogger("made").propagate

    assert in_child(act)
