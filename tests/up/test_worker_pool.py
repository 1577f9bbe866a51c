"""`up` runs sixteen commands at once, or Python tasks in processes of their own."""

from typing import Any

import pytest

from jobs_app.core.settings import Settings
from jobs_app.up.worker_pool import pool_settings


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, ("threads", 16, 2)),
        ({"imports": "shop.tasks"}, ("prefork", 16, 2)),
        ({"imports": "shop.tasks", "worker_pool": "threads"}, ("threads", 16, 2)),
        ({"worker_pool": "prefork"}, ("prefork", 16, 2)),
        ({"worker_concurrency": 3}, ("threads", 3, 2)),
        (
            {"imports": "shop.tasks", "worker_concurrency": 4, "worker_idle_processes": 4},
            ("prefork", 4, 4),
        ),
    ],
)
def test_what_is_set_counts_and_the_rest_fits_the_tasks(
    given: dict[str, Any], expected: tuple[str, int, int]
) -> None:
    names = ("worker_pool", "worker_concurrency", "worker_idle_processes")

    assert pool_settings(Settings(**given)) == dict(zip(names, expected, strict=True))
