"""Pagination: a cursor is the last key of a page, opaque to clients and bound to its list."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from re import Pattern
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from flask import Response, jsonify, request
from pydantic import BaseModel, Field
from werkzeug.datastructures import MultiDict

from jobs_app.core.errors import BadRequest
from jobs_app.db.page_size import fitting
from jobs_app.web.api.schemas.base import Query
from jobs_app.web.local_address import rooted

Item = TypeVar("Item")
Key = TypeVar("Key")


class ListQuery(Query):
    """The part of a list."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    cursor: Annotated[str, Field(max_length=1000)] | None = None


def encode(kind: str, key: str | int) -> str:
    """Return the cursor that continues a list of *kind* after *key*."""
    text = json.dumps([kind, str(key)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def decode(kind: str, cursor: str | None, read: Callable[[str], Key]) -> Key | None:
    """Return the key in *cursor*, parsed by *read*; None without a cursor.

    Raises BadRequest (`bad_cursor`) for anything but a cursor that `encode` made
    for this kind of list.
    """
    if cursor is None:
        return None
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        pair = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] != kind:
            raise ValueError("a cursor of another list")
        if not isinstance(pair[1], str):
            raise ValueError("not a key")
        return read(pair[1])
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadRequest(
            "The cursor is not one of this list: send next_cursor unchanged.",
            code="bad_cursor",
        ) from error


def decode_name(kind: str, cursor: str | None, pattern: Pattern[str]) -> str | None:
    """Return the name in *cursor*, which *pattern* matches; see `decode`."""

    def read(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError("not a name")
        return text

    return decode(kind, cursor, read)


def page(
    kind: str,
    limit: int,
    items: Sequence[Item],
    *,
    key: Callable[[Item], Any],
    show: Callable[[list[Item]], list[dict[str, Any]]],
    is_cut: bool = False,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """Return the answer with one page; *items* holds one more than *limit* if another follows.

    So does *is_cut*. A page has fewer items than *limit* if they are large. *more* has further
    fields of the answer.
    """
    page_items, fields = list(items[:limit]), more or {}
    texts = [json.dumps(item, separators=(",", ":")) for item in show(page_items)]
    some = fitting(list(enumerate(map(len, texts))))
    follows = is_cut or len(items) > limit or len(some) < len(texts)
    next_cursor = encode(kind, key(page_items[some[-1]])) if some and follows else None
    others = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in fields.items())
    body = (
        f'{{"items":[{",".join(texts[: len(some)])}],"next_cursor":{json.dumps(next_cursor)}'
        f"{others}}}\n"
    )
    response = Response(body, mimetype="application/json")
    if next_cursor is not None:
        query = MultiDict(request.args)
        query["cursor"] = next_cursor
        following = rooted(f"{request.path}?{urlencode(list(query.items(multi=True)))}")
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


def unpaged(items: Iterable[BaseModel]) -> Response:
    """Return the answer with a whole list, for lists that are always short."""
    return jsonify({"items": [item.model_dump(mode="json") for item in items]})
