"""Log lines as JSON: one object a line, whatever is logged."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest

from jobs_app.core import json_log
from jobs_app.core.json_log import MAX_MESSAGE, MAX_TRACEBACK, JsonFormatter


def entry(message: object, *args: object, name: str = "jobs_app.runs", **more: Any) -> Any:
    """Return a formatted record as the JSON reader sees it."""
    record = logging.LogRecord(name, logging.INFO, __file__, 1, message, args, None, **more)
    text = JsonFormatter("worker").format(record)
    assert text.isascii()
    assert "\n" not in text
    return json.loads(text)


def test_the_named_values_of_a_message_are_fields() -> None:
    line = entry("run_started run=%s attempt=%s took=%.1f", "018f", 2, 0.25)

    assert line["message"] == "run_started run=018f attempt=2 took=0.2"
    fields = {name: line[name] for name in ("event", "run_id", "attempt", "took")}
    assert fields == {"event": "run_started", "run_id": "018f", "attempt": 2, "took": 0.25}
    head = (line["level"], line["process"], line["logger"])
    assert head == ("INFO", "worker", "jobs_app.runs")


@pytest.mark.parametrize(
    "message, args, fields",
    [
        ("50%% of %s for job=%s", ("x", "nightly"), {"job": "nightly"}),
        ("state level=%s time=%s", ("low", "now"), {"level": "INFO"}),
        ("run_lost run=018f reason=gone", (), {"run_id": "018f", "reason": "gone"}),
        ("no_number seconds=%s", (float("nan"),), {"seconds": "nan"}),
        ({"a": 1}, (), {"message": "{'a': 1}"}),
        ("odd \ud800 and \n two lines", (), {"message": "odd \ud800 and \n two lines"}),
    ],
)
def test_any_message_is_one_object(message: object, args: tuple[object, ...], fields: Any) -> None:
    line = entry(message, *args)

    assert {name: line[name] for name in fields} == fields


def test_a_line_of_others_has_no_event() -> None:
    assert "event" not in entry("ready", name="celery.worker")


def test_a_traceback_is_a_field_and_its_end_is_kept() -> None:
    try:
        raise ValueError("x" * 2 * MAX_TRACEBACK + " the end")
    except ValueError:
        record = logging.LogRecord(
            "jobs_app", logging.ERROR, __file__, 1, "m" * 2 * MAX_MESSAGE, (), sys.exc_info()
        )

    line = json.loads(JsonFormatter("web").format(record))

    assert len(line["message"]) == MAX_MESSAGE
    assert len(line["traceback"]) == MAX_TRACEBACK
    assert line["traceback"].endswith(" the end")


def test_a_context_adds_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_log, "_contexts", [])
    json_log.add_context(lambda: {"request_id": "r1", "job": "of the context"})

    line = entry("run_started job=%s", "of the message")

    assert (line["request_id"], line["job"]) == ("r1", "of the message")


PROGRAM = """
import logging, threading, warnings
from jobs_app.core.observing_settings import ObservingSettings
from jobs_app.core.process_log import configure_log
configure_log(ObservingSettings(log_format="json"), process="web")
logging.getLogger("jobs_app.web").info("started port=%s", 5000)
warnings.warn("an old name")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
raise RuntimeError("nobody catches it")
"""


def test_warnings_and_errors_that_nobody_catches_are_lines_too() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)

    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line.get("event", line["logger"]) for line in lines] == [
        "started",
        "py.warnings",
        "thread_failed",
        "process_failed",
    ]
    assert lines[0]["port"] == 5000
    assert "ZeroDivisionError" in lines[2]["traceback"]
    assert "nobody catches it" in lines[3]["traceback"]


def test_what_is_a_line_already_is_known() -> None:
    assert json_log.is_line(json_log.line("up", "INFO", "stopping"))
    assert not json_log.is_line("{not json}")
    assert not json_log.is_line("[1]")
