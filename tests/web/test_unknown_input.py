"""Input that a route does not know: refused on every route, and nothing is done."""

from typing import Any

import pytest

from jobs_app.web.pages.api_docs import blueprint as pages
from jobs_app.web.permissions import PAGE_SUFFIX
from tests.web.conftest import Api

RUN_ID = "01890000-0000-7000-8000-000000000000"


def _routes(api: Api) -> list[tuple[str, str]]:
    """Return method and path of every route but those of pages, each with an example."""
    numbers = {"token_id": "1", "session_id": "1", "number": "1"}
    examples = {"name": "nightly", "run_id": RUN_ID, "task_id": RUN_ID, "line": "x"} | numbers
    routes = []
    for rule in api.app.url_map.iter_rules():
        blueprint = rule.endpoint.partition(".")[0]
        if blueprint in {pages.name, "assets"} or blueprint.endswith(PAGE_SUFFIX):
            continue
        methods = (rule.methods or set()) - {"HEAD", "OPTIONS"}
        path = rule.build({name: examples[name] for name in rule.arguments})
        assert path is not None
        routes += [(method, path[1]) for method in methods]
    return routes


def test_every_route_refuses_a_parameter_that_it_does_not_know(api: Api) -> None:
    routes = _routes(api)
    assert len(routes) > 40

    for method, path in routes:
        body: Any = {} if method in ("POST", "PUT", "PATCH") else None
        answer = api.send(method, f"/{path}?dry_ru=true", json=body, headers={"If-Match": "*"})
        assert answer.status_code == 422, (method, path, answer.text)
        assert "There is no parameter 'dry_ru'." in answer.json["detail"], (method, path)


@pytest.mark.parametrize("path", ["pause", "runs"])
def test_a_dry_run_that_does_not_exist_does_nothing(api: Api, path: str) -> None:
    job = api.make_job()

    answer = api.post(f"/jobs/nightly/{path}?dry_run=true", {})

    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "unknown_parameter")
    assert api.get("/jobs/nightly").json == job
    assert api.get("/runs").json["items"] == []


@pytest.mark.parametrize(
    "method, path", [("DELETE", "/jobs/nightly"), ("POST", "/channels/ops/test"), ("GET", "/runs")]
)
def test_a_body_where_none_is_taken_is_refused(api: Api, method: str, path: str) -> None:
    job = api.make_job()

    answer = api.send(method, path, json={"dry_run": True}, headers={"If-Match": "*"})

    assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "unknown_field")
    assert api.get("/jobs/nightly").json == job


@pytest.mark.parametrize("options", [{"json": {}}, {"headers": {"Content-Length": "0"}}])
def test_an_empty_body_is_no_body(api: Api, options: dict[str, Any]) -> None:
    assert api.send("GET", "/jobs", **options).status_code == 200


def test_a_file_may_be_asked_for_with_any_parameter(api: Api) -> None:
    assert api.get("//api/docs?v=1").status_code == 200
