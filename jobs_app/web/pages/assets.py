"""The files of the pages, at addresses that change with their content, so browsers keep them."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Blueprint, Response, request, send_from_directory, url_for

FOLDER = Path(__file__).parent / "static"

#: Scripts that are sent as one file: a first visit waits for few answers. Each of them stands in
#: a function of its own, and defers as one: the order is that of the list.
BUNDLES = {
    "every-page.js": (
        "vendor/htmx/htmx.min.js",
        "vendor/htmx/hx-ptag.min.js",
        "times.js",
        "live.js",
        "keys.js",
    ),
    "run-page.js": ("sgr.js", "log.js"),
}

#: A year, seconds; the address of a changed file is another one.
KEPT_SECONDS = 31_536_000

assets = Blueprint("assets", __name__)


@assets.get("/assets/<digest>/<path:name>")
def file(digest: str, name: str) -> Response:
    """Send a file; a browser keeps it if the address is that of its present content."""
    response = _bundle_answer(name) if name in BUNDLES else _file_answer(name)
    if digest == _digest():
        response.headers["Cache-Control"] = f"public, max-age={KEPT_SECONDS}, immutable"
    return response


def _file_answer(name: str) -> Response:
    response = send_from_directory(FOLDER, name)
    # Read it at once: what is sent from the open file cannot be compressed.
    response.direct_passthrough = False
    response.get_data()
    return response


def _bundle_answer(name: str) -> Response:
    response = Response(bundle(name), mimetype="text/javascript")
    response.add_etag()
    response.make_conditional(request)
    return response


@cache
def bundle(name: str) -> str:
    """Return the scripts of a bundle, one behind the other, each below its name."""
    files = [(part, (FOLDER / part).read_text(encoding="utf-8")) for part in BUNDLES[name]]
    return "".join(f"/* {part} */\n{text}\n" for part, text in files)


def static(name: str) -> str:
    """Return the address of the file *name* of the folder `static`, or of a bundle."""
    return url_for("assets.file", digest=_digest(), name=name)


@cache
def _digest() -> str:
    """Return what tells these versions of all files from others."""
    whole = hashlib.sha256(repr(BUNDLES).encode())
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file():
            whole.update(str(path.relative_to(FOLDER)).encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:12]
