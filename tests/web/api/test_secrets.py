"""/secrets: values go in and never come out, and jobs may refer only to what there is."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.secrets import encryption
from tests.web.conftest import Api, a_run

VALUE = "c4n4ry-value"


def put(api: Api, name: str = "TOKEN", if_match: str | None = None, **body: Any) -> Any:
    headers = {} if if_match is None else {"If-Match": if_match}
    return api.send("PUT", f"/secrets/{name}", json=body, headers=headers)


def job_with(**kwargs: Any) -> dict[str, Any]:
    return {"name": "calls", "task": "http", "kwargs": {"url": "https://example.org"} | kwargs}


def pointers(answer: Any) -> list[tuple[str, str]]:
    return [(error["pointer"], error["code"]) for error in answer.json["errors"]]


def test_a_secret_is_made_and_no_answer_has_its_value(api: Api) -> None:
    made = put(api, value=VALUE, description="GitHub")

    assert made.status_code == 201
    assert made.headers["Location"] == "/api/v1/secrets/TOKEN"
    assert made.headers["ETag"] == '"1"'
    secret = made.json
    assert secret.pop("created_at") == secret.pop("updated_at")
    assert secret == {
        "name": "TOKEN",
        "description": "GitHub",
        "version": 1,
        "updated_by": "tester",
        "last_used_at": None,
        "jobs": [],
        "warnings": [],
    }
    answers = [made, api.get("/secrets/TOKEN"), api.get("/secrets"), api.get("/audit")]
    assert not any(VALUE in answer.text for answer in answers)


def test_the_database_holds_a_secret_encrypted(
    api: Api, database: Database, settings: Settings
) -> None:
    put(api, value=VALUE)

    with database.reading() as session:
        (encrypted,) = session.execute(text("SELECT sealed FROM secrets")).one()

    assert VALUE not in encrypted
    assert encryption.load_cipher(settings).decrypt(encrypted) == VALUE


def test_a_change_wants_the_version_that_was_read(api: Api) -> None:
    put(api, value=VALUE)

    assert put(api, value="other").status_code == 428
    assert put(api, value="other", if_match='"7"').status_code == 412
    changed = put(api, value="other", if_match='"1"')
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert put(api, value="again", if_match="*").status_code == 200


def test_a_version_of_a_secret_that_is_not_there_is_stale(api: Api) -> None:
    assert put(api, value=VALUE, if_match='"1"').status_code == 412
    assert put(api, value=VALUE, if_match="*").status_code == 201


def test_what_a_change_leaves_out_stays(api: Api, database: Database, settings: Settings) -> None:
    put(api, value=VALUE, description="GitHub")

    described = put(api, description="GitHub, read only", if_match="*").json
    put(api, value="other", if_match="*")

    assert described["description"] == "GitHub, read only"
    assert api.get("/secrets/TOKEN").json["description"] == "GitHub, read only"
    with database.reading() as session:
        (encrypted,) = session.execute(text("SELECT sealed FROM secrets")).one()
    assert encryption.load_cipher(settings).decrypt(encrypted) == "other"


@pytest.mark.parametrize("value", ["abc", "  abc\n", "ö"])
def test_a_value_that_is_too_short_to_mask_has_a_warning(api: Api, value: str) -> None:
    (warning,) = put(api, value=value).json["warnings"]

    assert "too short to be masked" in warning
    assert put(api, description="still", if_match="*").json["warnings"] == []
    assert put(api, value="abcd", if_match="*").json["warnings"] == []


def test_a_new_secret_needs_a_value(api: Api) -> None:
    answer = put(api, description="GitHub")

    assert answer.status_code == 422
    assert pointers(answer) == [("/value", "missing")]


@pytest.mark.parametrize(
    "body, pointer, code",
    [
        ({"value": ""}, "/value", "too_short"),
        ({"value": 5}, "/value", "wrong_type"),
        ({"value": VALUE * 6000}, "/value", "too_long"),
        ({"value": f"{VALUE}\x00"}, "/value", "bad_text"),
        ({"value": VALUE, "name": "X"}, "/name", "read_only"),
        ({"valeu": VALUE}, "/valeu", "unknown_field"),
    ],
)
def test_a_bad_body_is_refused_and_not_repeated(
    api: Api, body: dict[str, Any], pointer: str, code: str
) -> None:
    answer = api.send("PUT", "/secrets/TOKEN", json=body)

    assert answer.status_code == 422
    assert pointers(answer)[0] == (pointer, code)
    assert VALUE not in answer.text


@pytest.mark.parametrize("name", ["1X", "A B", "A.B", "Ä", "A" * 65, "%00"])
def test_a_name_that_cannot_be_is_refused(api: Api, name: str) -> None:
    assert put(api, name, value=VALUE).status_code == 422
    assert api.get(f"/secrets/{name}").status_code == 404
    assert api.delete(f"/secrets/{name}").status_code == 404


def test_an_unknown_secret_is_not_found_and_the_nearest_is_named(api: Api) -> None:
    put(api, "GITHUB_TOKEN", value=VALUE)

    answer = api.get("/secrets/GITHUB_TOKN")

    assert (answer.status_code, answer.json["code"]) == (404, "secret_not_found")
    assert "'GITHUB_TOKEN'" in answer.json["detail"]


def test_secrets_are_listed_by_name_in_pages(api: Api) -> None:
    for name in ("C", "A", "B"):
        put(api, name, value=VALUE)

    first = api.get("/secrets?limit=2").json
    second = api.get(f"/secrets?limit=2&cursor={first['next_cursor']}").json

    assert [s["name"] for s in first["items"]] == ["A", "B"]
    assert [s["name"] for s in second["items"]] == ["C"]
    assert second["next_cursor"] is None


def test_a_secret_that_jobs_use_is_not_deleted_unless_forced(api: Api) -> None:
    put(api, value=VALUE)
    put(api, "TOKEN_2", value=VALUE)
    api.post("/jobs", job_with(headers={"X": "${secret:TOKEN}"}))

    refused = api.delete("/secrets/TOKEN")
    forced = api.delete("/secrets/TOKEN?force=true")

    assert (refused.status_code, refused.json["code"]) == (409, "secret_in_use")
    assert "calls" in refused.json["detail"]
    assert forced.status_code == 204
    assert api.get("/secrets/TOKEN").status_code == 404
    assert api.delete("/secrets/TOKEN_2").status_code == 204


def test_deleting_wants_the_version_that_was_read(api: Api) -> None:
    put(api, value=VALUE)

    assert api.send("DELETE", "/secrets/TOKEN").status_code == 428
    assert api.delete("/secrets/TOKEN", if_match='"2"').status_code == 412
    assert api.delete("/secrets/TOKEN", if_match='"1"').status_code == 204


def test_a_secret_names_the_living_jobs_that_refer_to_it(api: Api) -> None:
    for name in ("TOKEN", "TOKEN_2", "tokenX2"):
        put(api, name, value=VALUE)
    for name, text_ in (
        ("b", "${secret:TOKEN}"),
        ("a", "x ${secret:TOKEN} ${secret:TOKEN_2}"),
        ("c", "${secret:}TOKEN}"),
        ("gone", "${secret:TOKEN}"),
    ):
        assert api.post("/jobs", job_with(body=text_) | {"name": name}).status_code == 201
    api.delete("/jobs/gone")

    assert api.get("/secrets/TOKEN").json["jobs"] == ["a", "b"]
    assert api.get("/secrets/TOKEN_2").json["jobs"] == ["a"]
    assert api.get("/secrets/tokenX2").json["jobs"] == []


def test_each_change_is_audited_without_the_value(api: Api) -> None:
    put(api, value=VALUE)
    put(api, value="other-value", if_match="*")
    api.delete("/secrets/TOKEN")

    events = api.get("/audit").json["items"]

    assert [(e["action"], e["actor"], e["detail"]["secret"]) for e in events] == [
        ("delete_secret", "tester", "TOKEN"),
        ("change_secret", "tester", "TOKEN"),
        ("create_secret", "tester", "TOKEN"),
    ]


@pytest.mark.parametrize(
    "method, path",
    [("POST", "/jobs"), ("PATCH", "/jobs/calls"), ("PUT", "/jobs/calls"), ("POST", "/runs")],
)
def test_a_reference_to_an_unknown_secret_is_refused_where_it_stands(
    api: Api, method: str, path: str
) -> None:
    put(api, "GITHUB_TOKEN", value=VALUE)
    api.post("/jobs", job_with())
    body = job_with(headers={"Authorization": "Bearer ${secret:GITHUB_TOKN}"})
    if path == "/runs":
        del body["name"]

    answer = api.send(method, path, json=body, headers={"If-Match": "*"})

    assert answer.status_code == 422
    assert pointers(answer) == [("/kwargs/headers/Authorization", "unknown_secret")]
    assert "'GITHUB_TOKEN'" in answer.json["detail"]


def test_a_run_of_a_job_whose_secret_is_gone_is_refused(api: Api) -> None:
    put(api, value=VALUE)
    api.post("/jobs", job_with(body="${secret:TOKEN}"))
    api.delete("/secrets/TOKEN?force=true")

    answer = api.post("/jobs/calls/runs", {})

    assert answer.status_code == 422
    assert pointers(answer) == [("/kwargs/body", "unknown_secret")]
    assert "jobs-app secret set TOKEN" in answer.json["detail"]


def test_a_job_whose_secret_is_gone_can_still_be_changed_otherwise(api: Api) -> None:
    put(api, value=VALUE)
    api.post("/jobs", job_with(body="${secret:TOKEN}"))
    api.delete("/secrets/TOKEN?force=true")

    assert api.patch("/jobs/calls", {"description": "still here"}).status_code == 200


def test_a_reference_in_a_command_is_refused_with_a_word_on_env(api: Api) -> None:
    put(api, value=VALUE)

    job = {"name": "x", "task": "shell", "kwargs": {"command": "curl -u ${secret:TOKEN} x"}}
    answer = api.post("/jobs", job)

    assert answer.status_code == 422
    assert pointers(answer) == [("/kwargs/command", "misplaced_reference")]
    assert "env" in answer.json["detail"]


def test_a_job_is_shown_as_it_was_written_and_an_edit_changes_nothing_else(api: Api) -> None:
    put(api, value=VALUE)
    kwargs = {"headers": {"Authorization": "Bearer ${secret:TOKEN}"}, "body": "${secret:}"}
    made = api.post("/jobs", job_with(**kwargs)).json

    changed = api.patch("/jobs/calls", {"kwargs": {"method": "POST"}}).json

    assert made["kwargs"] == job_with(**kwargs)["kwargs"]
    assert changed["kwargs"] == made["kwargs"] | {"method": "POST"}


def test_a_run_shows_references_and_veils_literals_that_look_secret(
    api: Api, store: Callable[..., None]
) -> None:
    kwargs = {"headers": {"Authorization": "Basic abc", "X-Token": "${secret:TOKEN}"}, "n": 1}
    run = a_run(kwargs=kwargs)
    store(run)

    kwargs = api.get(f"/runs/{run.id}").json["kwargs"]

    assert kwargs == {"headers": {"Authorization": "***", "X-Token": "${secret:TOKEN}"}, "n": 1}
    assert "abc" not in api.get("/runs").text


def test_a_job_warns_of_literals_that_look_secret_and_of_secrets_that_are_gone(api: Api) -> None:
    put(api, value=VALUE)
    job = job_with(headers={"Authorization": "Basic abc"}, body="${secret:TOKEN}")

    preview = api.post("/jobs?dry_run=true", job).json["effect"]["warnings"]
    api.post("/jobs", job)
    api.delete("/secrets/TOKEN?force=true")
    warnings = api.get("/jobs/calls").json["warnings"]

    literal = "kwargs.headers.Authorization looks like a secret, or has one in an address"
    assert [warning.startswith(literal) for warning in preview].count(True) == 1
    assert [warning.startswith(literal) for warning in warnings].count(True) == 1
    assert "There is no secret 'TOKEN' any more: its runs will fail." in warnings
    assert "abc" not in str(preview)


def test_a_key_that_others_can_read_is_a_sentence_and_nothing_is_stored(
    api: Api, settings: Settings
) -> None:
    key: Path = settings.secret_key_file
    key.chmod(0o644)
    try:
        answer = put(api, value=VALUE)
    finally:
        key.chmod(0o600)

    assert (answer.status_code, answer.json["code"]) == (503, "configuration")
    assert "0600" in answer.json["detail"]
    assert api.get("/secrets").json["items"] == []


#: Arguments of some 250 KB whose faults, or whose warnings, are without number.
HEAVY_KWARGS = {
    "unknown secrets": {"body": "".join(f"${{secret:s{n}}}" for n in range(9_000))},
    "one secret, many texts": {"items": ["${secret:nothing}"] * 12_000},
    "malformed references": {"items": ["${secret:!}"] * 16_000},
    "references in names": {f"${{secret:s{n}}}": 1 for n in range(10_000)},
    "masks": {"password": ["***"] * 30_000},
    "a long name over many values": {"password " + "x" * 120_000: [0, 1] * 30_000},
    "names without end": {f"p{n}": {"token": {"q": n}} for n in range(9_000)},
}


@pytest.mark.few(1)
@pytest.mark.parametrize("kwargs", HEAVY_KWARGS.values(), ids=HEAVY_KWARGS)
@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/jobs", marks=pytest.mark.nightly),
        "/jobs?dry_run=true",
        pytest.param("/runs", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_work_on_arguments_is_bounded(api: Api, path: str, kwargs: dict[str, Any]) -> None:
    for number in range(30):
        put(api, f"known{number}", value=VALUE)
    body = {"task": "tests.anything", "kwargs": kwargs}
    began = time.process_time()

    answer = api.post(path, body if path == "/runs" else body | {"name": "heavy"})

    assert time.process_time() - began < 2
    assert len(answer.text) < 1_000_000
    assert len(answer.json.get("errors", [])) <= 20


def test_a_job_may_refer_to_a_hundred_secrets(api: Api) -> None:
    text = "".join(f"${{secret:s{n}}}" for n in range(101))

    answer = api.post("/jobs", job_with(body=text))

    assert answer.status_code == 422
    assert "too_many_references" in {error["code"] for error in answer.json["errors"]}
