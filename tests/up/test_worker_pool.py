"""`up` runs sixteen commands at once, or Python tasks in processes of their own."""

from typing import Any

import pytest

from jobs_app.core.settings import Settings
from jobs_app.up.worker_pool import pool_settings


@pytest.mark.parametrize(
    "given, pool, at_once",
    [
        ({}, "threads", 16),
        ({"imports": "shop.tasks"}, "prefork", 4),
        ({"imports": "shop.tasks", "worker_pool": "threads"}, "threads", 16),
        ({"worker_pool": "prefork"}, "prefork", 4),
        ({"worker_concurrency": 3}, "threads", 3),
        ({"imports": "shop.tasks", "worker_concurrency": 2}, "prefork", 2),
    ],
)
def test_what_is_set_counts_and_the_rest_fits_the_tasks(
    given: dict[str, Any], pool: str, at_once: int
) -> None:
    expected = {"worker_pool": pool, "worker_concurrency": at_once}

    assert pool_settings(Settings(**given)) == expected
