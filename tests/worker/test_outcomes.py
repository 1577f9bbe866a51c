"""The outcome of a run names what its task ran into."""

import pytest
from celery import Celery
from celery.contrib.abortable import AbortableTask

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


def test_another_missing_attribute_is_named_as_it_is() -> None:
    error = failed(AttributeError("'list' object has no attribute 'x'"), None).error

    assert error is not None
    assert error.message == "'list' object has no attribute 'x'"
