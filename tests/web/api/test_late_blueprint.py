"""Operations are described late, and as flask-openapi3 itself describes them."""

from typing import Any

import pytest
from flask_openapi3 import APIBlueprint, Info, OpenAPI, Tag
from pydantic import BaseModel

from jobs_app.web.api import openapi
from jobs_app.web.api.late_blueprint import LateBlueprint

SHIPS, PORTS = Tag(name="ships", description="What sails."), Tag(name="ports")


class Path(BaseModel):
    """The address of a ship."""

    name: str


class Ship(BaseModel):
    """A ship."""

    name: str
    tons: int = 0


def make_app(blueprint_class: type[APIBlueprint]) -> tuple[OpenAPI, APIBlueprint]:
    """Return an application with two blueprints, and the first of them."""
    app = OpenAPI("ships", info=Info(title="Ships", version="1"))
    ships = blueprint_class("ships", "ships", abp_tags=[SHIPS])
    health = blueprint_class("health", "health", abp_tags=[SHIPS, PORTS])

    @ships.put("/ships/<name>", responses={200: Ship}, summary="Change a ship")
    def put(path: Path, body: Ship) -> Any:
        return {"name": path.name, "tons": body.tons}

    @ships.get("/hidden", doc_ui=False)
    def hidden() -> Any:
        return {}

    @health.get("/healthz")
    def healthz() -> Any:
        """Say that it lives."""
        return {}

    app.register_api(ships, url_prefix="/api")
    app.register_api(health)
    return app, ships


def test_the_document_is_that_of_a_usual_blueprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "completed", lambda document: document)
    usual, _ = make_app(APIBlueprint)
    late, _ = make_app(LateBlueprint)

    document = openapi.document(late)

    assert document == usual.api_doc
    assert set(document["paths"]) == {"/api/ships/{name}", "/healthz"}
    assert openapi.document(late) is document


def test_requests_are_answered_before_anything_is_described() -> None:
    app, ships = make_app(LateBlueprint)

    answer = app.test_client().put("/api/ships/ada", json={"name": "ada", "tons": 7})

    assert answer.json == {"name": "ada", "tons": 7}
    assert (ships.paths, ships.components_schemas, ships.tags) == ({}, {}, [])


def test_a_second_application_with_the_same_blueprint_has_the_same_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openapi, "completed", lambda document: document)
    first, ships = make_app(LateBlueprint)
    second = OpenAPI("again", info=Info(title="Ships", version="1"))
    second.register_api(ships, url_prefix="/api")

    described = openapi.document(first)["paths"]["/api/ships/{name}"]

    assert openapi.document(second)["paths"] == {"/api/ships/{name}": described}
