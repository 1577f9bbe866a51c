"""Where the parts of the web process meet: `create_app`, and `serve` around it."""

import errno
import logging
import socket
from typing import Any

from flask import Flask, Response
from flask_openapi3 import OpenAPI
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from sqlalchemy.exc import SQLAlchemyError

from jobs_app import web
from jobs_app.accounts import tokens
from jobs_app.api import (
    auth,
    bodies,
    channels,
    database,
    document,
    explain,
    health,
    installation,
    jobs,
    parts,
    problems,
    run_logs,
    runs,
    schedules,
    stats,
    streams,
    tutorial,
    vault,
)
from jobs_app.core import process
from jobs_app.core.errors import ConfigurationError, Conflict, JobsError
from jobs_app.core.settings import Settings

log = logging.getLogger(__name__)

API_PREFIX = "/api/v1"

#: For answers that are not pages; a page brings the policy that it needs.
NO_CONTENT_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": NO_CONTENT_POLICY,
    "Cache-Control": "no-store",
}

#: How long requests under way may take after SIGTERM, seconds.
STOP_SECONDS = 5


class _Application(OpenAPI):
    request_class = bodies.JsonRequest


def create_app(settings: Settings) -> Flask:
    """Return the web application of an installation.

    Neither the database nor Redis need be there yet; while they are not, it answers
    503, or 201 and leaves the rest to the janitor.
    """
    app = _Application(
        __name__,
        static_folder=None,
        info=document.INFO,
        security_schemes=document.SECURITY_SCHEMES,
        openapi_extensions={"security": [{"bearerAuth": []}]},
        validation_error_callback=bodies.on_invalid,
        validation_error_model=document.Problem,
        doc_ui=False,
    )
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # The order of a job's kwargs is its author's.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    database.init_app(app, settings)
    parts.init_app(app, parts.make(settings))
    streams.init_app(app, settings)
    problems.register(app)
    auth.register(app, demo_open=settings.demo_open)
    resources = (jobs, explain, stats, runs, run_logs, schedules, vault, installation, channels)
    for resource in resources:
        app.register_api(resource.api, url_prefix=API_PREFIX)
    app.register_api(health.api)
    app.register_api(tutorial.api)
    document.register(app)
    app.register_blueprint(web.blueprint)
    app.after_request(_secure)
    return app


def _secure(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


class _Server(BaseApplication):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn around an application that is built already."""

    def __init__(self, app: Flask, listener: socket.socket, settings: Settings) -> None:
        self._app = app
        self._listener = listener
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        options: dict[str, Any] = {
            "bind": f"fd://{self._listener.fileno()}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": self._settings.web_threads,
            "timeout": 60,
            "graceful_timeout": STOP_SECONDS,
            "keepalive": 5,
            # Its default lies in HOME, where two installations would meet.
            "control_socket_disable": True,
            "accesslog": None,
            "errorlog": "-",
            "loglevel": "warning",
            "proc_name": "jobs-app web",
            "post_fork": self._after_fork,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._app

    def _after_fork(self, _arbiter: Any, worker: Any) -> None:
        with self._app.app_context():
            # SIGTERM clears it; a stream that went on would hold the server to the last second.
            streams.current().is_stopping = lambda: not worker.alive
            # A pooled connection used by two processes mixes up their answers.
            database.database.engine.dispose(close=False)


def serve(settings: Settings) -> int:
    """Run the web server until SIGTERM or SIGINT and return the exit code.

    Raises Conflict if the port is taken, ConfigurationError for settings that cannot work.
    """
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    app = create_app(settings)
    listener = _listen(settings)
    _ensure_first_token(settings)
    process.resume_gc()
    try:
        Arbiter(_Server(app, listener, settings)).run()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _ensure_first_token(settings: Settings) -> None:
    try:
        tokens.ensure_first_token(settings)
    except SQLAlchemyError as error:
        # Not there yet, or not migrated: readyz says so, and the next start tries again.
        log.warning("no_admin_token error=%s", str(error).partition("\n")[0])


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise _cannot_listen(settings, error) from error
    listener.set_inheritable(True)
    return listener


def _cannot_listen(settings: Settings, error: OSError) -> JobsError:
    where = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"Something else listens on {where}: choose another port with JOBS_PORT.",
            code="port_taken",
        )
    return ConfigurationError(f"Cannot listen on {where}: {error.strerror}.")
