"""/people: accounts, for admins."""

from collections.abc import Callable

import pytest

from tests.web.conftest import Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_an_account_is_made_changed_disabled_and_removed(api: Api) -> None:
    made = api.post("/people", {"name": "ann", "role": "editor", "grants": ["commands"]})
    assert (made.status_code, made.headers["Location"]) == (201, "/api/v1/people/ann")
    assert made.json["kind"] == "person"
    assert (made.json["grants"], made.json["tags"]) == (["commands"], None)

    changed = api.patch("/people/ann", {"role": "operator", "tags": ["a"]}, if_match='"1"')
    assert (changed.json["role"], changed.json["grants"]) == ("operator", [])
    assert api.patch("/people/ann", {"role": "viewer"}, if_match='"1"').status_code == 412
    disabled = api.patch("/people/ann", {"disabled": True, "tags": None})
    assert (disabled.json["tags"], disabled.json["disabled_at"] is None) == (None, False)
    assert api.patch("/people/ann", {"disabled": False}).json["disabled_at"] is None

    assert {item["name"] for item in api.get("/people").json["items"]} == {
        *("admin", "ann", "tester")
    }
    assert api.delete("/people/ann").status_code == 204
    assert api.get("/people/ann").status_code == 404


def test_a_patch_changes_rights_and_state_at_once(api: Api) -> None:
    api.post("/people", {"name": "ann", "role": "editor"})

    changed = api.patch("/people/ann", {"role": "operator", "disabled": True}, if_match='"1"')

    assert (changed.status_code, changed.json["version"]) == (200, 2)
    assert (changed.json["role"], changed.json["disabled_at"] is None) == ("operator", False)
    actions = [event["action"] for event in api.get("/audit").json["items"]]
    assert sorted(actions[:2]) == ["change_person", "disable_person"]


def test_rights_that_do_not_fit_are_named(api: Api) -> None:
    answer = api.post("/people", {"name": "ann", "role": "viewer", "grants": ["secrets"]})

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/grants")
    assert api.post("/people", {"name": "admin", "role": "viewer"}).status_code == 409
    assert api.patch("/people/admin", {"disabled": True}).json["code"] == "admin_account"
    assert api.get("/people/a%2Fb").status_code == 404
    own = api.patch("/people/tester", {"has_password": True})
    assert (own.status_code, "POST /links" in own.json["detail"]) == (422, True)


def test_a_new_role_counts_at_the_next_request(api: Api, api_of: Callable[..., Api]) -> None:
    ann = api_of("editor", name="ann")
    job = {"name": "ping", "task": "sleep", "kwargs": {"duration": 1}}
    assert ann.post("/jobs", job).status_code == 201

    api.patch("/people/ann", {"role": "viewer"})
    assert ann.delete("/jobs/ping").status_code == 403
    api.patch("/people/ann", {"disabled": True})
    assert ann.get("/jobs").status_code == 401
