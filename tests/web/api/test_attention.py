"""/attention: what needs a person, by HTTP."""

from collections.abc import Callable

from tests.web.conftest import Api


def test_the_list_names_what_it_is_about_and_what_helps(api: Api) -> None:
    api.make_job(queue="slow")

    items = api.get("/attention").json["items"]

    assert [item["kind"] for item in items] == ["no_scheduler", "no_worker"]
    assert len(items[1].pop("id")) == 16
    assert items[1] == {
        "kind": "no_worker",
        "sentence": "No worker serves the queue 'slow': 1 job names it.",
        "since": None,
        "job": None,
        "queue": "slow",
        "channel": None,
        "run": None,
        "error": None,
        "last_line": None,
        "steps": ["start_worker"],
        "acknowledgement": None,
    }


def test_names_of_secrets_are_for_those_who_may_see_them(
    api: Api, api_of: Callable[..., Api]
) -> None:
    assert api.send("PUT", "/secrets/gone", json={"value": "hunter2-hunter2"}).status_code == 201
    api.make_job(kwargs={"command": "true", "env": {"A": "${secret:gone}"}})
    assert api.delete("/secrets/gone?force=true").status_code == 204

    sentences = [
        item["sentence"]
        for caller in (api, api_of("viewer"))
        for item in caller.get("/attention").json["items"]
        if item["kind"] == "secret_gone"
    ]

    assert sentences == [
        "It refers to secrets that do not exist: 'gone'.",
        "It refers to secrets that do not exist.",
    ]


def test_whoever_may_start_jobs_takes_care_of_a_line_that_they_see(
    api: Api, api_of: Callable[..., Api]
) -> None:
    api.make_job(queue="slow", tags=["theirs"])
    line = f"/attention/{api.get('/attention').json['items'][1]['id']}/acknowledgement"
    operator, limited = api_of("operator"), api_of("operator", tags=("mine",))

    assert api_of("viewer").post(line, {}).status_code == 403
    assert limited.post(line, {}).status_code == 404
    assert operator.post(line, {"note": "x" * 2001}).status_code == 422
    made = operator.post(line, {"note": "asked the DBAs"})

    assert made.status_code == 200
    assert made.json == api.get("/attention").json["items"][1]
    care = made.json["acknowledgement"]
    assert (care["by"], care["note"]) == ("operator", "asked the DBAs")
    event = api.get("/audit?action=acknowledge").json["items"][0]
    assert event["detail"] == {"kind": "no_worker", "queue": "slow", "note": "asked the DBAs"}
    assert limited.delete(line).status_code == 404
    assert api.delete(line).json["acknowledgement"] is None
