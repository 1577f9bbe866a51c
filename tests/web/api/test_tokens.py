"""/tokens: shown once, and never worth more than their maker."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from jobs_app.accounts import people, tokens
from jobs_app.core import clock
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import IdempotencyKey, Token
from tests.web.conftest import NOW, Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_a_token_is_shown_once_and_never_stored(api: Api, database: Database) -> None:
    key = {"Idempotency-Key": "k1"}
    made = api.post("/tokens", {"name": "ci", "scopes": ["read"]}, headers=key)

    assert made.status_code == 201
    assert made.json["owner"] == "tester"
    again = api.post("/tokens", {"name": "ci", "scopes": ["read"]}, headers=key)
    assert (again.status_code, again.json["code"]) == (409, "shown_once")
    with database.reading() as session:
        assert made.json["token"] not in str(session.execute(select(IdempotencyKey)).all())
        (kept,) = session.scalars(select(IdempotencyKey))
        assert (kept.body, kept.headers) == ({}, {})
    assert made.json["token"] not in api.get("/tokens").text + api.get("/audit").text
    end = datetime.fromisoformat(made.json["expires_at"])
    assert timedelta(days=89) < end - clock.now() < timedelta(days=91)


def test_a_token_has_only_its_scopes_and_is_gone_when_it_is_revoked(api: Api) -> None:
    made = api.post("/tokens", {"name": "ci", "scopes": ["read"], "expires_at": None}).json
    reader = Api(api.app, made["token"])

    assert made["expires_at"] is None
    assert reader.get("/jobs").status_code == 200
    assert reader.post("/jobs", {}).status_code == 403
    assert api.delete(f"/tokens/{made['id']}").status_code == 204
    assert reader.get("/jobs").status_code == 401
    assert api.delete(f"/tokens/{made['id']}").status_code == 404


def test_nobody_gives_more_than_he_has(api: Api, api_of: Callable[..., Api]) -> None:
    made = api.post("/people", {"name": "ann", "role": "operator", "tags": ["a", "b"]})
    assert made.status_code == 201
    end = (clock.now() + timedelta(days=9)).isoformat()
    limits = {"scopes": ["read", "admin"], "tags": ["a"], "expires_at": end}
    first = api.post("/tokens", {"name": "t1", "owner": "ann"} | limits)
    ann = Api(api.app, first.json["token"])

    for body, status in (
        ({"owner": "admin", "scopes": ["read"]}, 403),
        ({}, 403),
        ({"scopes": ["run"]}, 403),
        ({"scopes": ["read"], "tags": ["b"]}, 403),
        ({"scopes": ["read"], "expires_at": None}, 422),
        ({"scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, 422),
    ):
        answer = ann.post("/tokens", {"name": "t2"} | body)
        assert answer.status_code == status, (body, answer.text)
    second = ann.post("/tokens", {"name": "t2", "scopes": ["read"]}).json
    assert second["tags"] == ["a"]
    assert second["expires_at"] == first.json["expires_at"]


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101])
def test_a_name_that_nobody_can_read_is_refused(api: Api, name: str) -> None:
    answer = api.post("/tokens", {"name": name})

    assert (answer.status_code, answer.json["errors"][0]["pointer"]) == (422, "/name")


def test_no_other_token_is_called_admin(api: Api) -> None:
    answer = api.post("/tokens", {"name": "admin"})

    assert (answer.status_code, "admin-token" in answer.json["detail"]) == (409, True)


def test_a_token_for_another_account_tells_nothing_of_the_accounts(
    api: Api, api_of: Callable[..., Api]
) -> None:
    viewer = api_of("viewer", name="ann")

    for owner in ("tester", "nobody", "Ann"):
        answer = viewer.post("/tokens", {"name": "t1", "owner": owner})
        assert (answer.status_code, "Did you mean" in answer.text) == (403, False), owner
    assert viewer.post("/tokens", {"name": "t1", "owner": "ann"}).status_code == 201
    assert api.post("/tokens", {"name": "t2", "owner": "nobody"}).status_code == 404


def test_a_revocation_leaves_other_tokens_of_the_same_name(api: Api, database: Database) -> None:
    # Each machine on a shared database has a file admin-token of its own.
    with database.session() as session:
        owner = people.service_account(session, "admin", by="root", at=NOW)
        rows = [
            Token(name="admin", digest=tokens.digest(text), created_at=NOW, owner_id=owner.id)
            for text in ("jobs_one", "jobs_two")
        ]
        session.add_all(rows)
        session.commit()
        first = rows[0].id

    assert api.delete(f"/tokens/{first}").status_code == 204
    assert Api(api.app, "jobs_one").get("/jobs").status_code == 401
    assert Api(api.app, "jobs_two").get("/jobs").status_code == 200
    assert api.delete(f"/tokens/{first}").status_code == 404


def test_others_see_and_revoke_only_their_own(api: Api, api_of: Callable[..., Api]) -> None:
    viewer = api_of("viewer", name="ann")
    all_of_them = {item["name"]: item["id"] for item in api.get("/tokens").json["items"]}

    assert [item["name"] for item in viewer.get("/tokens").json["items"]] == ["ann"]
    assert set(all_of_them) == {"tester", "ann"}
    of_another = viewer.delete(f"/tokens/{all_of_them['tester']}")
    of_nobody = viewer.delete("/tokens/987654")
    assert (of_another.status_code, of_another.json["code"]) == (404, "token_not_found")
    sentence = of_another.json["detail"].replace(str(all_of_them["tester"]), "987654")
    assert sentence == of_nobody.json["detail"]
    assert viewer.delete(f"/tokens/{all_of_them['ann']}").status_code == 204
    assert viewer.get("/tokens").status_code == 401
