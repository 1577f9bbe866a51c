"""The path under which a proxy serves the application, which is that of JOBS_PUBLIC_URL."""

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from flask import Flask

from jobs_app.core.settings import Settings

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def root_of(settings: Settings) -> str:
    """Return the path of JOBS_PUBLIC_URL without a slash at its end; "" for none."""
    return urlsplit(settings.public_url or "").path.rstrip("/")


def is_https(settings: Settings) -> bool:
    """Tell whether people reach the pages by https."""
    return urlsplit(settings.public_url or "").scheme.lower() == "https"


def init_app(app: Flask, settings: Settings) -> None:
    """Let all addresses that *app* makes begin with the path of JOBS_PUBLIC_URL.

    The proxy takes that path off each request.
    """
    root = root_of(settings)
    inner: WsgiApp = app.wsgi_app

    def with_root(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["SCRIPT_NAME"] = root
        return inner(environ, start_response)

    if root:
        app.wsgi_app = with_root  # type: ignore[method-assign]  # Flask's way to add a layer
