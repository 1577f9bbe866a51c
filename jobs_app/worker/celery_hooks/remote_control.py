"""Remote control: a worker answers questions and obeys nobody, unless the settings say so.

`celery inspect` asks, `celery control` orders. Both are messages in Redis, signed like all
others. An answer goes through Redis too, so it has no passwords.
"""

import logging
import re
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from celery.worker.control import Panel

from jobs_app.core.settings import Settings

log = logging.getLogger(__name__)

#: Questions by Celery's own account that change something: `hello` takes revoked tasks over,
#: `objgraph` writes a file.
NOT_QUESTIONS = frozenset({"hello", "objgraph"})

REFUSED = {"error": "This worker obeys no remote control: see the setting JOBS_REMOTE_CONTROL."}

#: The user and password of a URL.
CREDENTIALS = re.compile(r"://[^/\s]*@")

#: Shorter ones are taken out of URLs only: they occur in ordinary words.
MIN_PASSWORD_CHARS = 4

Handler = Callable[..., Any]


def restrict(settings: Settings) -> None:
    """Make this process answer questions without passwords, and refuse all orders but by `all`."""
    mask = _masking(settings)
    questions = {
        id(Panel.data[name])
        for name, command in Panel.meta.items()
        if command.type == "inspect" and name not in NOT_QUESTIONS
    }
    for name, handler in list(Panel.data.items()):
        may_run = settings.remote_control == "all" or id(handler) in questions
        Panel.data[name] = _masked(handler, mask) if may_run else _refusing(name)


def _masked(handler: Handler, mask: Callable[[Any], Any]) -> Handler:
    @wraps(handler)
    def answer(*args: Any, **options: Any) -> Any:
        return mask(handler(*args, **options))

    return answer


def _refusing(name: str) -> Handler:
    def refuse(*_: Any, **__: Any) -> dict[str, str]:
        log.warning("remote_control_refused command=%s", name)
        return REFUSED

    return refuse


def _masking(settings: Settings) -> Callable[[Any], Any]:
    """Return a function that takes the passwords of *settings* out of an answer."""
    hidden = sorted(set(_passwords(settings)), key=len, reverse=True)

    def mask(value: Any) -> Any:
        match value:
            case str():
                value = CREDENTIALS.sub("://***@", value)
                for password in hidden:
                    value = value.replace(password, "***")
                return value
            case dict():
                return {mask(key): mask(item) for key, item in value.items()}
            case list() | tuple() | set():
                return [mask(item) for item in value]
            case _:
                return value

    return mask


def _passwords(settings: Settings) -> Iterator[str]:
    urls = (settings.effective_redis_url, settings.effective_database_url, settings.smtp_url)
    for url in filter(None, urls):
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        named = (options.get(name, "") for name in ("password", "sentinel_password"))
        written = [parts.password or "", *named]
        for password in (*written, *map(unquote, written)):
            if len(password) >= MIN_PASSWORD_CHARS:
                yield password
    yield from filter(None, (settings.secret_key or "").split(","))
