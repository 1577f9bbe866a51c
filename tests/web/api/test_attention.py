"""/attention: what needs a person, by HTTP."""

from collections.abc import Callable

from tests.web.conftest import Api


def test_the_list_names_what_it_is_about_and_what_helps(api: Api) -> None:
    api.make_job(queue="slow")

    items = api.get("/attention").json["items"]

    assert [item["kind"] for item in items] == ["no_scheduler", "no_worker"]
    assert items[1] == {
        "kind": "no_worker",
        "sentence": "No worker serves the queue 'slow': 1 job names it.",
        "since": None,
        "job": None,
        "queue": "slow",
        "channel": None,
        "run": None,
        "error": None,
        "steps": ["start_worker"],
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
