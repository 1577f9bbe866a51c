"""Addresses of our own pages, and what passes for one: a person must not be led elsewhere."""

from urllib.parse import quote, unquote, urlsplit

from flask import request

MAX_CHARS = 2000


def current_address() -> str:
    """Return path and query of this request, below the root of the application."""
    path = quote(request.path, safe="/:@!$&'()*+,;=~")
    query = request.query_string.decode("ascii", "replace")
    return f"{path}?{query}" if query else path


def local_address(text: str) -> str:
    """Return *text* if it is a path of ours, else the path of the first page.

    Also what a server or a browser may make of it is looked at: escapes, and \\ for /.
    """
    return text if all(map(_is_local, (text, unquote(text)))) else "/"


def rooted(path: str) -> str:
    """Return the address of *path*, which is below the root of the application."""
    return f"{request.script_root}{path}"


def _is_local(text: str) -> bool:
    if not text.startswith("/") or text.startswith("//") or len(text) > MAX_CHARS:
        return False
    if "\\" in text or not text.isprintable():
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return not parts.scheme and not parts.netloc
