"""The states that Celery's tasks set are read as the tutorials write them."""

from typing import Any

import pytest

from jobs_app.tasks.celery_progress import from_celery


@pytest.mark.parametrize(
    "state, meta, report",
    [
        (
            "PROGRESS",
            {"current": 3, "total": 12, "status": "copying"},
            (0.25, "copying", {"current": 3, "total": 12, "status": "copying"}),
        ),
        ("DOWNLOADING", {"n": 1}, (None, "DOWNLOADING", {"n": 1})),
        (
            "PROGRESS",
            {"fraction": 0.5, "message": "half"},
            (0.5, "half", {"fraction": 0.5, "message": "half"}),
        ),
        ("PROGRESS", {"current": 1, "total": 0}, (None, None, {"current": 1, "total": 0})),
        ("PROGRESS", None, (None, None, {})),
        ("PROGRESS", 70, (None, None, {"value": 70})),
    ],
)
def test_celerys_update_state_says_the_same(state: str, meta: Any, report: Any) -> None:
    assert from_celery(state, meta) == report
