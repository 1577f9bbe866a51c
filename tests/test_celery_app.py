"""The application of an installation has no results of plain Celery messages, and says so."""

import pytest
from celery import Celery

from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings


@pytest.fixture
def app() -> Celery:
    app: Celery = make_celery(Settings(redis_url="redis://127.0.0.1:1/0"))
    app.conf.update(broker_url="memory://")
    return app


def test_a_task_that_waits_for_the_result_of_another_gets_an_error(app: Celery) -> None:
    @app.task(shared=False, name="tests.leaf")
    def leaf(x: int) -> int:
        """Return its argument."""
        return x

    @app.task(shared=False, name="tests.waits_for_a_leaf")
    def waits_for_a_leaf() -> object:
        """Wait for another task."""
        return leaf.delay(1).get(timeout=3)

    answer = waits_for_a_leaf.apply()

    assert answer.failed()
    assert isinstance(answer.result, NotImplementedError | RuntimeError)
    assert "backend" in str(answer.result) or "Never call result.get()" in str(answer.result)
