"""Cursors of lists: the last key of a page, opaque to clients and bound to its list."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from flask import Response, jsonify, request
from pydantic import BaseModel
from werkzeug.datastructures import MultiDict

from jobs_app.core.errors import BadRequest

Item = TypeVar("Item")
Key = TypeVar("Key")

DEFAULT_LIMIT = 50
MOST_LIMIT = 200


def encode(kind: str, key: str | int) -> str:
    """Return the cursor that continues a list of *kind* behind *key*."""
    text = json.dumps([kind, str(key)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode(kind: str, cursor: str | None, read: Callable[[str], Key]) -> Key | None:
    """Return the key in *cursor*, as *read* makes it of text; None without a cursor.

    Raises BadRequest (`bad_cursor`) for anything that `encode` did not make for
    this kind of list.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(found, list) or len(found) != 2 or found[0] != kind:
            raise ValueError("a cursor of another list")
        if not isinstance(found[1], str):
            raise ValueError("not a key")
        return read(found[1])
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadRequest(
            "The cursor is not one of this list: take next_cursor as it was given.",
            code="bad_cursor",
        ) from error


def page(
    kind: str,
    items: Sequence[Item],
    *,
    limit: int,
    key: Callable[[Item], Any],
    show: Callable[[list[Item]], list[dict[str, Any]]],
) -> Response:
    """Answer one page; *items* holds one more than *limit* if there is another."""
    shown = list(items[:limit])
    following = encode(kind, key(shown[-1])) if len(items) > limit else None
    response = jsonify({"items": show(shown), "next_cursor": following})
    if following is not None:
        query = MultiDict(request.args)
        query["cursor"] = following
        response.headers["Link"] = (
            f'<{request.path}?{urlencode(list(query.items(multi=True)))}>; rel="next"'
        )
    return response


def unpaged(items: Iterable[BaseModel]) -> Response:
    """Return the answer of a list that is short enough to be shown whole."""
    return jsonify({"items": [item.model_dump(mode="json") for item in items]})
