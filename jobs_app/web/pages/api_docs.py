"""The API documentation page: Swagger UI, offline, under a strict content policy."""

from flask import Blueprint, Response

#: The content policy for Swagger UI: no inline script or style, nothing from other hosts.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint("web", __name__, static_folder="static", static_url_path="/static")


@blueprint.get("/api/docs")
def docs() -> Response:
    """Show the API. The page is public; it asks for a token to read the OpenAPI document."""
    response = blueprint.send_static_file("docs.html")
    response.headers["Content-Security-Policy"] = POLICY
    return response
