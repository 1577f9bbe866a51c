"""The files of the pages, at addresses that change with their content, so browsers keep them."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, send_from_directory, url_for

FOLDER = Path(__file__).parent / "static"

#: A year, seconds; the address of a changed file is another one.
KEPT_SECONDS = 31_536_000

assets = Blueprint("assets", __name__)


@assets.get("/assets/<digest>/<path:name>")
def file(digest: str, name: str) -> Response:
    """Send a file; a browser keeps it if the address is that of its present content."""
    response = send_from_directory(FOLDER, name)
    # Read it at once: what is sent from the open file cannot be compressed.
    response.direct_passthrough = False
    response.get_data()
    if digest == _digest():
        response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}, immutable"
    return response


def static(name: str) -> str:
    """Return the address of the file *name* of the folder `static`."""
    return url_for("assets.file", digest=_digest(), name=name)


@cache
def _digest() -> str:
    """Return what tells these versions of all files from others."""
    whole = hashlib.sha256()
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            whole.update(str(path.relative_to(FOLDER)).encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:12]
