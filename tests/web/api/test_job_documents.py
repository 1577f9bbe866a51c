"""What a list of jobs has besides the jobs."""

from tests.web.conftest import Api


def test_a_list_has_the_last_runs_of_jobs_if_it_is_asked(api: Api) -> None:
    api.make_job("a")
    api.make_job("b")
    run = api.post("/jobs/b/runs", {}).json

    jobs = api.get("/jobs?include=recent").json["items"]

    assert [job["recent"] for job in jobs] == [
        [],
        [{"id": run["id"], "state": "queued", "instant": run["created_at"]}],
    ]
    assert "recent" not in api.get("/jobs").json["items"][0]


def test_a_list_counts_the_jobs_of_each_filter_if_it_is_asked(api: Api) -> None:
    api.make_job("a", tags=["eu"])
    api.make_job("b", queue="slow", tags=["eu", "billing"])
    api.post("/jobs/a/pause", {})

    page = api.get("/jobs?include=recent,facets&q=b").json

    assert [job["name"] for job in page["items"]] == ["b"]
    facets = page["facets"]
    assert facets["states"]["paused"] == facets["states"]["active"] == 1
    assert facets == facets | {
        "total": 2,
        "tags": {"billing": 1, "eu": 2},
        "queues": {"default": 1, "slow": 1},
    }


def test_a_part_of_a_list_that_does_not_exist_is_refused(api: Api) -> None:
    answer = api.get("/jobs?include=recents")

    assert answer.status_code == 422
    assert "Did you mean 'recent'?" in answer.json["errors"][0]["detail"]
