"""The Flask application: API, pages, and the headers of every answer."""

from flask import Flask, Response
from flask.typing import ResponseReturnValue
from flask_compress import Compress
from flask_openapi3 import OpenAPI

from jobs_app.accounts.principal import Principal
from jobs_app.core.settings import Settings
from jobs_app.web import (
    application_root,
    auth,
    csrf,
    extension,
    health,
    metrics,
    outage_line,
    page_session,
    permissions,
    session,
    streams,
    unknown_input,
)
from jobs_app.web.api import (
    apply,
    attention,
    audit,
    doctor,
    explain,
    jobs,
    links,
    me,
    notifications,
    openapi,
    people,
    problems,
    queues,
    revisions,
    run_logs,
    runs,
    schedules,
    secrets,
    sessions,
    stats,
    tasks,
    tokens,
    tutorial,
    workers,
)
from jobs_app.web.api.schemas import base
from jobs_app.web.late_rule import LateRule
from jobs_app.web.pages import errors, frame, registry, run_log, sign_in
from jobs_app.web.pages.api_docs import blueprint
from jobs_app.web.pages.assets import assets

API_PREFIX = "/api/v1"

#: For answers that are not pages; a page sets the policy that it needs.
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


#: The modules of the API; each has a blueprint called `api`.
RESOURCES = (
    *(jobs, apply, revisions, explain, stats, runs, run_logs, schedules),
    *(secrets, notifications, tasks, queues, workers, audit, attention, doctor),
    *(people, tokens, me, sessions, links),
)


class _Application(OpenAPI):
    request_class = base.JsonRequest
    url_rule_class = LateRule

    def dispatch_request(self) -> ResponseReturnValue:
        """Answer a request, also if user code that describes a task ends its process."""
        try:
            return super().dispatch_request()
        except Exception:
            raise
        except BaseException as error:
            # It would end this thread, and the client would wait for an answer.
            raise RuntimeError(f"user code raised {type(error).__name__}") from error


def create_app(settings: Settings) -> Flask:
    """Return the web application of an installation.

    Neither the database nor Redis must run yet. Without the database it answers 503;
    without Redis it answers 201 and leaves the rest to the janitor. Raises RuntimeError for a
    route that the table of permissions does not know.
    """
    app = _Application(
        __name__,
        static_folder=None,
        template_folder="pages/templates",
        info=openapi.INFO,
        security_schemes=openapi.SECURITY_SCHEMES,
        openapi_extensions={"security": [{"bearerAuth": []}]},
        validation_error_callback=base.on_invalid,
        validation_error_model=openapi.Problem,
        doc_ui=False,
    )
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    # A job's kwargs keep the order in which its author wrote them.
    app.json.sort_keys = False  # type: ignore[attr-defined]  # only Flask's default provider has it
    session.init_app(app, settings)
    extension.init_app(app, extension.make(settings))
    streams.init_app(app, settings)
    problems.register(app)
    application_root.init_app(app, settings)
    page_session.init_app(app, settings)
    csrf.init_app(app, settings)
    outage_line.init_app(app)
    metrics.init_app(app)
    auth.register(app, open_to_machine=_open_to_machine(settings))
    unknown_input.register(app)
    for resource in RESOURCES:
        app.register_api(resource.api, url_prefix=API_PREFIX)
    app.register_api(health.api)
    app.register_api(metrics.api)
    app.register_api(tutorial.api)
    openapi.register(app)
    app.register_blueprint(blueprint)
    app.register_blueprint(assets)
    frame.init_app(app)
    for page in registry.PAGES:
        app.register_blueprint(page)
    errors.register(app)
    sign_in.register(app)
    app.after_request(_secure)
    _compress(app)
    permissions.check_table(app)
    return app


def _open_to_machine(settings: Settings) -> dict[str, Principal]:
    """Return the routes that a program on this machine may use without a token, and as whom."""
    routes: dict[str, Principal] = {}
    if settings.demo_open:
        routes |= dict.fromkeys(auth.DEMO, auth.ANONYMOUS)
    if settings.metrics_open:
        routes[metrics.ROUTE] = auth.METRICS_READER
    return routes


def _secure(response: Response) -> Response:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    return response


def _compress(app: Flask) -> None:
    """Compress pages and their files, but not the answers of the API, which have ranges."""
    app.config.update(
        COMPRESS_MIMETYPES=[
            "text/html",
            "text/css",
            "text/javascript",
            "image/svg+xml",
            run_log.MEDIA_TYPE,
        ],
        COMPRESS_STREAMS=False,
        COMPRESS_ALGORITHM=["br", "gzip"],
        # A page is smaller than this window of 256 KiB, and each thread has one.
        COMPRESS_BR_WINDOW=18,
    )
    Compress(app)
