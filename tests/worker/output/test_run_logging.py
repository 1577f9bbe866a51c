"""A record of a run is in its log once, in the format of whoever shows it."""

import io
import logging
import sys
from collections.abc import Iterator
from logging.config import dictConfig

import pytest

from jobs_app.worker.output import run_logging
from jobs_app.worker.output.capture import adopt_user_handlers, capture_output
from jobs_app.worker.output.streams import RoutedText
from tests.worker.output.sinks import Memory


@pytest.fixture
def sink() -> Memory:
    return Memory()


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("ledger")
    loggers = [one for one in logging.root.manager.loggerDict.values() if one is not logger]
    disabled = {one: one.disabled for one in loggers if isinstance(one, logging.Logger)}
    yield logger
    for one, was_disabled in disabled.items():
        one.disabled = was_disabled
    logger.handlers.clear()
    logger.propagate, logger.disabled = True, False
    logger.setLevel(logging.NOTSET)


def early_stream(number: int) -> io.TextIOWrapper:
    """Return a stream as a module that was imported early has kept it."""
    return open(number, "w", closefd=False)  # it lasts as long as its handler


@pytest.mark.parametrize("propagate", [False, True])
@pytest.mark.parametrize("number", [1, 2])
def test_a_handler_made_at_import_is_heard_once(
    sink: Memory, logger: logging.Logger, number: int, propagate: bool
) -> None:
    handler = logging.StreamHandler(early_stream(number))
    handler.setFormatter(logging.Formatter("MINE %(message)s"))
    logger.addHandler(handler)
    logger.propagate = propagate
    adopt_user_handlers()

    with capture_output(sink):
        logger.error("paid %d", 7)
        logging.getLogger("ledger.child").error("below")
        logging.getLogger("plain").error("plain")

    assert [line for line in sink.lines if "plain" not in line] == ["MINE paid 7", "MINE below"]
    assert sink.err.endswith(b"ERROR plain: plain\n")
    assert (b"MINE" in sink.out) == (number == 1)


def test_a_record_that_the_handler_does_not_show_is_written_by_us(
    sink: Memory, logger: logging.Logger
) -> None:
    handler = logging.StreamHandler(early_stream(2))
    handler.setLevel(logging.ERROR)
    handler.addFilter(lambda record: "noise" not in record.getMessage())
    logger.addHandler(handler)
    adopt_user_handlers()

    with capture_output(sink):
        logger.warning("only a warning")
        logger.error("noise")
        logger.error("shown")

    assert sink.lines == ["WARNING ledger: only a warning", "ERROR ledger: noise", "shown"]


def test_a_handler_of_a_run_is_heard_once_too(sink: Memory, logger: logging.Logger) -> None:
    with capture_output(sink):
        logger.addHandler(logging.StreamHandler())
        logger.error("first")
    with capture_output(sink):
        logger.error("second")

    assert sink.lines == ["first", "second"]


def test_a_configuration_with_streams_by_name_is_heard(
    sink: Memory, logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", early_stream(1))
    own = logging.getLogger("jobs_app.worker.execution")
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": True,
            "formatters": {"short": {"format": "SHORT %(message)s"}},
            "handlers": {
                "console": {
                    "class": "logging.StreamHandler",
                    "stream": "ext://sys.stdout",
                    "formatter": "short",
                }
            },
            "loggers": {"ledger": {"handlers": ["console"], "propagate": False}},
        }
    )
    adopt_user_handlers()

    with capture_output(sink):
        logger.error("from Django")

    assert sink.out == b"SHORT from Django\n"
    assert not own.disabled


def test_the_own_handlers_of_the_worker_stay_out_of_runs(
    sink: Memory, capfd: pytest.CaptureFixture[str]
) -> None:
    own = logging.getLogger("jobs_app.tests")
    own.addHandler(handler := logging.StreamHandler(early_stream(2)))
    try:
        run_logging.note_own_handlers()
        adopt_user_handlers()
        assert handler in run_logging.worker_handlers()
        run_logging.keep_runs_out(handler)

        own.error("of the worker")
        with capture_output(sink):
            own.error("of the run")
    finally:
        own.removeHandler(handler)

    assert "of the worker" in capfd.readouterr().err
    assert sink.lines == ["ERROR jobs_app.tests: of the run"]


def test_a_stream_without_a_number_belongs_to_nobody() -> None:
    assert run_logging.number_of(io.StringIO()) == -1
    assert run_logging.number_of(None) == -1
    assert run_logging.number_of(RoutedText("stderr", None)) == 2
