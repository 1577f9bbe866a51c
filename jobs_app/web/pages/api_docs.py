"""The page that shows the API, with Swagger UI: offline, under a strict policy."""

from flask import Blueprint, Response

#: Swagger UI runs under this: no inline script or style, nothing from anywhere else.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint("web", __name__, static_folder="static", static_url_path="/static")


@blueprint.get("/api/docs")
def docs() -> Response:
    """Show the API. The page itself is public; it asks for a token to read the document."""
    response = blueprint.send_static_file("docs.html")
    response.headers["Content-Security-Policy"] = POLICY
    return response
