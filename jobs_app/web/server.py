"""The web server: gunicorn around the application."""

import errno
import logging
import socket
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from sqlalchemy.exc import SQLAlchemyError

from jobs_app.accounts import admin_token
from jobs_app.core import exposure, process
from jobs_app.core.errors import ConfigurationError, Conflict, JobsError
from jobs_app.core.settings import Settings
from jobs_app.web import extension, session, streams
from jobs_app.web.app import create_app

log = logging.getLogger(__name__)


#: How long requests under way may take after SIGTERM, seconds.
STOP_SECONDS = 5


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
            # Its default path is in HOME, where two installations would collide.
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
            # SIGTERM clears `alive`; an open stream would delay the stop to its last second.
            streams.current().is_stopping = lambda: not worker.alive
            # A pooled connection used by two processes mixes up their answers.
            session.database.engine.dispose(close=False)
            # Its warnings go to the log at the start. It has a thread, which no fork inherits.
            extension.current().redis_status()


class _Arbiter(Arbiter):  # type: ignore[misc]  # gunicorn ships no types
    """Gunicorn's main process, without its start of a new one by `exec`.

    Any process of the same user can ask for that. The new one has no settings with secrets.
    """

    def handle_usr2(self) -> None:
        log.warning("signal_ignored signal=USR2")


def serve(settings: Settings) -> int:
    """Run the web server until SIGTERM or SIGINT and return the exit code.

    Raises Conflict if the port is taken, ConfigurationError for settings that cannot work.
    """
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    exposure.check_host(settings)
    app = create_app(settings)
    listener = _listen(settings)
    _ensure_first_token(settings)
    process.resume_gc()
    try:
        _Arbiter(_Server(app, listener, settings)).run()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def _ensure_first_token(settings: Settings) -> None:
    try:
        admin_token.ensure_first_token(settings)
    except SQLAlchemyError as error:
        # Unreachable, or not migrated yet: readyz says so, and the next start tries again.
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
