"""The messages that workers of Celery get, and the results that they store."""

from typing import Any
from uuid import uuid4

import pytest
from celery.backends.base import KeyValueStoreBackend

from jobs_app.core.policies import RunLimits
from jobs_app.tasks.celery_client import CONTROL_EXCHANGE
from jobs_app.tasks.celery_message import (
    RESULT_KEY,
    SHOWN_CHARS,
    TaskMessage,
    TaskState,
    UnreadableResult,
    read_state,
    revocation,
    task_id,
)
from tests.factories import TASKS


def a_message(**fields: object) -> TaskMessage:
    run_id = uuid4()
    plain = {
        "id": task_id(run_id, 1),
        "run_id": run_id,
        "task": "shop.add",
        "args": [1],
        "kwargs": {"y": 2},
        "queue": "celery",
        "origin": "jobs-app@h",
    }
    return TaskMessage(**{**plain, **fields})  # type: ignore[arg-type]  # by name


def test_a_message_has_the_headers_that_celery_itself_writes() -> None:
    message = a_message(limits=RunLimits(9, 5), wants_result=True)
    theirs = TASKS.amqp.as_task_v2(message.id, "shop.add", args=(1,), kwargs={"y": 2})

    headers = message.headers()

    assert headers.keys() == theirs.headers.keys()
    assert message.body() == [[1], *theirs.body[1:]]
    assert headers["timelimit"] == [9, 5]
    assert headers["ignore_result"] is False
    assert a_message().headers()["ignore_result"] is None


def test_the_places_of_results_and_orders_are_those_of_celery() -> None:
    assert KeyValueStoreBackend.task_keyprefix == RESULT_KEY
    control: Any = TASKS.control
    assert control.mailbox.exchange.name == CONTROL_EXCHANGE
    assert control.mailbox.exchange.type == "fanout"


def test_arguments_for_people_are_short_and_those_that_they_may_see() -> None:
    message = a_message(shown_args=["***"], shown_kwargs={"y": "x" * 5000})

    headers = message.headers()

    assert headers["argsrepr"] == "('***',)"
    assert len(headers["kwargsrepr"]) == SHOWN_CHARS


def test_each_attempt_has_an_id_of_its_own_that_is_always_the_same() -> None:
    run_id = uuid4()

    assert task_id(run_id, 1) == str(run_id)
    assert task_id(run_id, 2) == task_id(run_id, 2)
    assert len({task_id(run_id, attempt) for attempt in range(1, 9)}) == 8


@pytest.mark.parametrize("signal, terminate", [(None, False), ("SIGTERM", True)])
def test_a_revocation_ends_the_task_only_with_a_signal(signal: str | None, terminate: bool) -> None:
    assert revocation("x", signal=signal)["arguments"] == {
        "task_id": "x",
        "terminate": terminate,
        "signal": signal,
    }


@pytest.mark.parametrize(
    "stored, state",
    [
        (None, None),
        (b'{"status": "SUCCESS", "result": [1]}', TaskState("SUCCESS", [1])),
        (
            b'{"status": "FAILURE", "result": null, "traceback": "T"}',
            TaskState("FAILURE", None, "T"),
        ),
        (b'{"status": "STARTED", "traceback": 7}', TaskState("STARTED")),
    ],
)
def test_a_stored_state_is_read(stored: bytes | None, state: TaskState | None) -> None:
    assert read_state(stored) == state


@pytest.mark.parametrize(
    "stored", [b"", b"\x80\x05.", b"[]", b"7", b"{}", b'"x"', b"[" * 100_000, b"\xff"]
)
def test_what_celery_does_not_write_as_json_is_unreadable(stored: bytes) -> None:
    with pytest.raises(UnreadableResult):
        read_state(stored)


@pytest.mark.parametrize(
    "value, error",
    [
        ({"exc_type": "ValueError", "exc_message": ["a", 1]}, "ValueError: a, 1"),
        ({"exc_type": "KeyError", "exc_message": "k"}, "KeyError: k"),
        ({"exc_type": "X", "exc_message": []}, "X"),
        ({}, "an error"),
        ("text", "text"),
        (None, "None"),
    ],
)
def test_an_error_is_one_line(value: object, error: str) -> None:
    assert TaskState("FAILURE", value).error == error
