"""A pool process may have children by Python's own multiprocessing, of each start method."""

import multiprocessing
from typing import Any

import billiard
import pytest

from jobs_app.worker.celery_hooks.children import allow_children


def _try(method: str, answers: Any) -> None:
    allow_children()
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=int)
    process.start()
    process.join()
    answers.put(process.exitcode)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_daemon_of_the_pool_may_start_a_process(method: str) -> None:
    context: Any = billiard.get_context("fork")
    answers = context.SimpleQueue()
    daemon = context.Process(target=_try, args=[method, answers], daemon=True)

    daemon.start()
    daemon.join(30)

    assert daemon.exitcode == 0
    assert answers.get() == 0
