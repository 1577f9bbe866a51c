"""The OpenAPI document, and the page that shows it."""

import re
from typing import Any
from urllib.parse import urljoin

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic.json_schema import GenerateJsonSchema

from tests.web.conftest import Api

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def document(api: Api) -> dict[str, Any]:
    """The document as a client gets it."""
    document: dict[str, Any] = api.get("/openapi.json").json
    return document


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_route_is_in_the_document(app: Flask, document: dict[str, Any]) -> None:
    undocumented = {"web.docs", "web.static", "assets.file", "openapi_document.openapi_json"}
    served = {
        f"{method} {rule.rule.replace('<', '{').replace('>', '}')}"
        for rule in app.url_map.iter_rules()
        # The pages of people are no part of the API.
        if rule.endpoint not in undocumented and "_page." not in rule.endpoint
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert set(operations(document)) == served


def test_every_operation_wants_the_token_but_the_probes(document: dict[str, Any]) -> None:
    assert document["security"] == [{"bearerAuth": []}]
    assert document["components"]["securitySchemes"]["bearerAuth"]["scheme"] == "bearer"
    own = {name: op["security"] for name, op in operations(document).items() if "security" in op}
    assert own == {"GET /healthz": [], "GET /readyz": [{}, {"bearerAuth": []}]}


def test_every_operation_says_what_it_does_and_what_may_go_wrong(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        assert operation["summary"].endswith("."), name
        if name in {"GET /healthz", "GET /readyz"}:
            continue
        assert {"401", "422", "500", "503"} <= set(operation["responses"]), name
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert list(response["content"]) == ["application/problem+json"], name


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operation in operations(document).values()]

    assert len(names) == len(set(names))


def test_a_dry_run_is_an_answer_of_every_operation_that_has_it(document: dict[str, Any]) -> None:
    with_dry_run = {
        name: operation["responses"]["200"]["content"]["application/json"]["schema"]
        for name, operation in operations(document).items()
        if any(parameter["name"] == "dry_run" for parameter in operation.get("parameters", ()))
    }

    assert len(with_dry_run) == 6
    # An apply answers with the effect of each job, whether it was done or not.
    assert "ApplyOut" in str(with_dry_run.pop("POST /api/v1/apply"))
    assert all("DryRunOut" in str(schema) for schema in with_dry_run.values())


def test_a_filter_of_a_list_takes_several_values(document: dict[str, Any]) -> None:
    schemas = {
        f"{name} {parameter['name']}": parameter["schema"]
        for name, operation in operations(document).items()
        for parameter in operation.get("parameters", [])
        if any(other["name"] == "limit" for other in operation["parameters"])
    }

    # A list has one order.
    single = {name for name, schema in schemas.items() if "enum" in _resolved(schema, document)}
    assert single == {"GET /api/v1/jobs sort"}
    assert schemas["GET /api/v1/runs trigger"]["type"] == "array"


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> str:
    """Return the text of a schema with what it refers to."""
    names = re.findall(r"#/components/schemas/([\w.]+)", str(schema))
    return str([schema, *(document["components"]["schemas"][name] for name in names)])


def test_the_example_of_every_body_is_accepted(api: Api, document: dict[str, Any]) -> None:
    api.make_job("nightly-report", schedule=None)
    api.post("/channels", {"name": "ops", "url": "json://desk.example.org"})
    run = api.post("/runs", {"task": "sleep", "kwargs": {"duration": 0}}).json
    line = api.get("/attention").json["items"][0]
    ids = {"run_id": run["id"], "line": line["id"]}
    tried = []
    for name, operation in operations(document).items():
        method, path = name.split()
        if "requestBody" not in operation:
            continue
        example = operation["requestBody"]["content"]["application/json"]["example"]
        for parameter in operation.get("parameters", ()):
            value = ids.get(parameter["name"], parameter.get("example"))
            path = path.replace(f"{{{parameter['name']}}}", str(value))

        answer = api.send(method, f"/{path}", json=example, headers={"If-Match": "*"})

        # Some names are taken, and the run has not ended: neither is about the body.
        assert answer.status_code in {200, 201, 202, 409}, (name, answer.text)
        tried.append(name)
    assert {"POST /api/v1/jobs", "PUT /api/v1/secrets/{name}", "POST /start-task"} <= set(tried)


def test_the_page_loads_its_own_files_only(api: Api) -> None:
    page = api.get("//api/docs")

    assert page.mimetype == "text/html"
    paths = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    files = [path for path in paths if path != "data:,"]
    assert len(files) == 4
    for path in files:
        # Below the page: a proxy may add a path before all of them.
        assert api.get("/" + urljoin("/api/docs", path)).status_code == 200, path
    assert "<script>" not in page.text
    assert "style=" not in page.text


def test_a_request_builds_no_schema_that_an_earlier_one_built(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.get("/jobs?limit=1")

    def build(*_: object, **__: object) -> None:
        raise AssertionError("a schema is built")

    monkeypatch.setattr(GenerateJsonSchema, "generate", build)

    assert api.get("/jobs?limit=2").status_code == 200
