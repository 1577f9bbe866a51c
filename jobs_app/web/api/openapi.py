"""The OpenAPI 3.1 document, and the parts that all operations share."""

import threading
from copy import deepcopy
from typing import Any, cast

from flask import Response, jsonify
from flask_openapi3 import Info, OpenAPI, Tag
from pydantic import BaseModel

from jobs_app import __version__
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.problems import MEDIA_TYPE
from jobs_app.web.api.schemas.base import Input

INFO = Info(
    title="jobs-app",
    version=__version__,
    description="Scheduled jobs: create them, change them, see the outcome of every run.",
)

SECURITY_SCHEMES: dict[str, Any] = {
    "bearerAuth": {
        "type": "http",
        "scheme": "bearer",
        "description": "The first token lies in the file admin-token in the data directory.",
    }
}

#: The tags of operations in more than one module.
JOBS = Tag(name="jobs", description="What runs, and when.")
RUNS = Tag(name="runs", description="What happened.")

#: The tag of resources that the installation has without anyone creating them.
INSTALLATION = Tag(name="installation", description="Tasks, queues, workers, and who did what.")

ACCOUNTS = Tag(name="accounts", description="People, service accounts, and their tokens.")

#: The answers of an operation, as flask-openapi3 takes them.
Responses = dict[str | int, type[BaseModel] | dict[Any, Any] | None]

EVENTS: Responses = {
    200: {"description": "OK", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
}

TEXT: Responses = {
    200: {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}
}

_TITLES = {
    400: "The request cannot be read",
    401: "A bearer token is needed",
    403: "Not allowed",
    404: "Not found",
    409: "Not possible in the present state",
    412: "It was changed in the meantime",
    413: "The body is too large",
    415: "The body must be JSON",
    422: "The input is not valid",
    428: "If-Match is required",
    500: "A bug in the server",
    503: "The database cannot be reached",
}

_PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


class FieldProblem(BaseModel):
    """An error in one field.

    `pointer` is a JSON Pointer into the body; `parameter` names a parameter of the
    address instead.
    """

    pointer: str
    code: str
    detail: str
    parameter: str | None = None


class Problem(BaseModel):
    """An error (RFC 9457); `code` is stable, the sentences are for people."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldProblem] | None = None


def problems(*statuses: int, body: bool = False) -> Responses:
    """Return the problems that an operation may answer; *body* adds those of a request body."""
    all_statuses = {401, 403, 422, 500, 503, *statuses} | ({400, 413, 415} if body else set())
    return {
        status: {"description": _TITLES[status], "content": deepcopy(_PROBLEM)}
        for status in sorted(all_statuses)
    }


#: Paths without a token, and what the document says of one there.
OPEN_PATHS: dict[str, list[dict[str, list[str]]]] = {
    "/healthz": [],
    "/readyz": [{}, {"bearerAuth": []}],
}

#: Paths that answer with text unless the client asks for JSON.
TEXT_PATHS = ("/api/v1/runs/{run_id}/log",)

#: Operations that may create the resource, and then need no If-Match.
CREATING = {("/api/v1/secrets/{name}", "put")}

_MERGE_PATCH = "application/merge-patch+json"


def completed(document: dict[str, Any]) -> dict[str, Any]:
    """Return flask-openapi3's document, completed with what that library cannot express."""
    document = deepcopy(document)
    schemas = document["components"]["schemas"]
    for path, security in OPEN_PATHS.items():
        # An empty list says "no token"; flask-openapi3 leaves it out.
        document["paths"][path]["get"]["security"] = security
    for path in TEXT_PATHS:
        content = document["paths"][path]["get"]["responses"]["200"]["content"]
        content["text/plain"] = {"schema": {"type": "string"}}
    for path, path_item in document["paths"].items():
        for method, operation in path_item.items():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "If-Match" and (path, method) not in CREATING:
                    # Optional in its model, because the answer without it is 428, not 422.
                    parameter["required"] = True
                    parameter["schema"].pop("default", None)
            _add_dry_run(operation)
            body = operation.get("requestBody")
            if body is None:
                continue
            content = body["content"]
            name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
            # A body without required fields may be left out.
            body["required"] = bool(schemas[name].get("required"))
            if (example := _example_of(name)) is not None:
                content["application/json"]["example"] = example
            if method == "patch":
                content[_MERGE_PATCH] = deepcopy(content["application/json"])
    return document


def _add_dry_run(operation: dict[str, Any]) -> None:
    """Let an operation with `dry_run` that answers a job with 200 answer the effect, too."""
    if all(parameter["name"] != "dry_run" for parameter in operation.get("parameters", ())):
        return
    for media_type in operation["responses"].get("200", {}).get("content", {}).values():
        job = media_type["schema"]
        if job.get("$ref", "").endswith("/JobOut"):
            effect = {"$ref": job["$ref"].removesuffix("JobOut") + "DryRunOut"}
            media_type["schema"] = {"anyOf": [job, effect]}


def _example_of(name: str) -> dict[str, Any] | None:
    """Return the example of the request model called *name*: flask-openapi3 leaves it out."""
    model = Input.named(name)
    if model is None:
        return None
    extra = model.model_config.get("json_schema_extra")
    examples = extra.get("examples") if isinstance(extra, dict) else None
    if isinstance(examples, list) and examples:
        return cast("dict[str, Any]", examples[0])
    return None if any(field.is_required() for field in model.model_fields.values()) else {}


#: Two requests must not describe the same operations at once.
_describing = threading.Lock()


def document(app: OpenAPI) -> dict[str, Any]:
    """Return the whole document of *app*; made when it is asked for the first time."""
    with _describing:
        if "jobs_openapi" not in app.extensions:
            for blueprint in app.blueprints.values():
                if isinstance(blueprint, LateBlueprint):
                    blueprint.describe(app)
            app.extensions["jobs_openapi"] = completed(app.api_doc)
    made: dict[str, Any] = app.extensions["jobs_openapi"]
    return made


def register(app: OpenAPI) -> None:
    """Serve the document of *app*."""
    blueprint = LateBlueprint("openapi_document", __name__)

    @blueprint.get("/openapi.json", doc_ui=False)
    def openapi_json() -> Response:
        """Return the OpenAPI document."""
        return jsonify(document(app))

    app.register_api(blueprint, url_prefix="/api/v1")
