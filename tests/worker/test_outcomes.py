"""The outcome of a run names what its task ran into."""

from collections.abc import Callable
from typing import Any

import flask
import pytest
from celery import Celery, chord, shared_task
from celery import result as celery_result
from celery.backends.base import DisabledBackend
from celery.contrib.abortable import AbortableTask
from celery.result import AsyncResult
from kombu.exceptions import OperationalError

from jobs_app.worker.outcomes import failed


class Abortable(AbortableTask):
    """A task that can ask for its own state."""

    name = "tests.abortable"


def test_a_task_that_asks_for_a_state_reads_that_there_is_no_backend() -> None:
    app = Celery("theirs", set_as_current=False)
    task = app.register_task(Abortable())

    for ask in (lambda: task.is_aborted(task_id="x"), lambda: task.AsyncResult("x").state):
        with pytest.raises(AttributeError) as raised:
            ask()
        error = failed(raised.value, None).error

        assert error is not None
        assert error.message.startswith("'DisabledBackend' object has no attribute")
        assert "has no result backend" in error.message


@shared_task(name="tests.waits_for_another")
def waits_for_another() -> Any:
    """Wait for a task, as Celery forbids."""
    return waits_for_another.s().apply_async().get()


#: Not in the stubs.
assert_will_not_block: Any = vars(celery_result)["assert_will_not_block"]


def needs_flask() -> Any:
    return flask.current_app.name


@pytest.mark.parametrize(
    "ask, hint",
    [
        (lambda: AsyncResult("x", backend=DisabledBackend(Celery())).get(), "result_backend"),
        (lambda: chord([waits_for_another.s()])(waits_for_another.s()), "result_backend"),
        (assert_will_not_block, "use a chain, self.replace() or a call as a function."),
        (lambda: Celery(broker="redis://127.0.0.1:1").send_task("x", retry=False), "(broker_url)"),
        (needs_flask, "name the module that makes it, as in flask_app = create_app()"),
    ],
)
def test_an_error_by_which_people_meet_what_is_not_there_says_what_helps(
    ask: Callable[[], Any], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in the process of a worker.
    monkeypatch.setattr(celery_result, "task_join_will_block", lambda: ask is assert_will_not_block)
    with pytest.raises((RuntimeError, NotImplementedError, OperationalError)) as raised:
        ask()

    error = failed(raised.value, None).error

    assert error is not None
    assert str(raised.value).strip() in error.message
    assert hint in error.message


def test_another_missing_attribute_is_named_as_it_is() -> None:
    error = failed(AttributeError("'list' object has no attribute 'x'"), None).error

    assert error is not None
    assert error.message == "'list' object has no attribute 'x'"
