"""Runs as the API shows them: what those wait for that have not started."""

from tests.web.conftest import Api


def test_a_run_says_what_it_waits_for_in_its_answer_and_in_lists(api: Api) -> None:
    api.make_job()

    started = api.post("/jobs/nightly/runs", {})
    run_id = started.json["id"]

    assert started.json["waits_for"] == "worker"
    assert api.get(f"/runs/{run_id}").json["waits_for"] == "worker"
    (listed,) = api.get("/runs").json["items"]
    assert listed["waits_for"] == "worker"
    cancelled = api.post(f"/runs/{run_id}/cancel", {})
    assert cancelled.json["waits_for"] is None
