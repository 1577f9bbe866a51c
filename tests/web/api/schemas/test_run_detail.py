"""What one run has that a run in a list has not."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from jobs_app.core import clock
from jobs_app.core.states import RunState
from tests.web.conftest import Api, a_run

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_run_says_how_often_its_error_came_and_what_its_job_was(
    api: Api, store: Callable[..., None]
) -> None:
    job_id, at = api.make_job()["id"], clock.now()
    facts = {"job_id": job_id, "error": {"type": "OSError", "message": "no 7", "traceback": None}}
    runs = [a_run(RunState.FAILED, created_at=at + timedelta(minutes=n), **facts) for n in range(3)]
    store(*runs, repeated := a_run(job_id=job_id, retry_of=runs[0].id, created_at=at))

    first, _, third = (api.get(f"/runs/{run.id}").json for run in runs)

    assert first["same_error"] is None
    assert third["same_error"] == {"count": 3, "since": first["created_at"]}
    assert (third["revision"], api.get(f"/runs/{repeated.id}").json["revision"]) == (1, None)
