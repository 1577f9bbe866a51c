"""Schemathesis against the OpenAPI document: examples, boundary values and random ones."""

import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import schemathesis
from schemathesis import Case, CheckContext, Response, engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from werkzeug.serving import WSGIRequestHandler, make_server

from jobs_app.accounts import people, tokens
from jobs_app.accounts.people import Rights
from jobs_app.core.roles import AccountKind, Role
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.web.app import create_app
from tests.web.conftest import NOW, close

#: Refusals by meaning: which tasks, cursors, versions and schedules there are.
MEANING = ["400", "412", "422", "428"]

#: Refusals by form, which the document must announce: a request that follows it never gets them.
FORM = {
    "bad_format",
    "bad_idempotency_key",
    "extra_forbidden",
    "missing",
    "out_of_range",
    "too_large",
    "too_long",
    "too_short",
    "too_small",
    "wrong_type",
}

#: Arguments have the schema of their task, and an expression has a language of its own.
OWN_RULES = ("/kwargs", "/schedule/cron", "/schedule/timezone")

#: For JSON Schema 5.0 is an integer. The others depend on another field, or on the secrets there
#: are, or limit a text with an instant; null in a patch means a default, which `task` lacks.
BEYOND_A_SCHEMA = re.compile(
    r"whole number, not a number\.|A new secret needs a value\.|is not less than"
    r"|the years 1970 and 8999\.|the year 9998\.|^'task' is required\."
)
EXPECTED_STATUSES = ["2xx", "3xx", "401", "403", "404", "409"]

#: For each operation and check; the nightly profile has time for many.
EXAMPLES, NIGHTLY_EXAMPLES = 2, 100

#: With a token of each other role, whose requests are refused more often.
ROLE_EXAMPLES = 10


@schemathesis.check
def refuses_nothing_for_a_form_that_the_document_allows(
    _: CheckContext, response: Response, case: Case
) -> None:
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if not is_valid or response.status_code not in {400, 422}:
        return
    problem = response.json()
    for error in problem.get("errors") or [problem]:
        is_own = error.get("pointer", "").startswith(OWN_RULES)
        is_beyond = BEYOND_A_SCHEMA.search(error["detail"])
        assert error["code"] not in FORM or is_own or is_beyond, error


#: Those with the largest documents and the most filters: the default profile tries the boundary
#: values of these alone, the nightly one those of all.
LARGEST = ("POST /api/v1/jobs", "POST /api/v1/channels", "GET /api/v1/runs")

NIGHTLY = [pytest.mark.nightly, pytest.mark.timeout(3600)]


def config(max_examples: int) -> SchemathesisConfig:
    no_boundaries = {"phases": {"coverage": {"enabled": False}}}
    others = [{"exclude-name": list(LARGEST), **no_boundaries}]
    return SchemathesisConfig.from_dict(
        {
            "operations": others if max_examples == EXAMPLES else [],
            "checks": {
                "positive_data_acceptance": {"expected-statuses": EXPECTED_STATUSES + MEANING},
                "missing_required_header": {"expected-statuses": ["401", "403", "428"]},
            },
            "seed": 1,
            "generation": {"max-examples": max_examples, "database": "none"},
            "phases": {"stateful": {"enabled": False}},
        }
    )


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: thousands of requests follow."""


@pytest.fixture
def schema(
    request: pytest.FixtureRequest, tmp_path: Path, database_url: str
) -> Iterator[schemathesis.BaseSchema]:
    """The document of an application, to be tried with so many examples by an account of a role."""
    max_examples, role = request.param
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    database = Database(settings.effective_database_url)
    with database.session() as session:
        rights = Rights(Role(role))
        owner = people.create(session, "tester", AccountKind.SERVICE, rights, by="root", at=NOW)
        token = tokens.create(session, "schemathesis", owner=owner, at=NOW)
    database.close()
    app = create_app(settings)
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_QuietHandler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    headers = {"Authorization": f"Bearer {token}"}
    url = f"http://127.0.0.1:{server.server_port}/api/v1/openapi.json"
    loaded = schemathesis.openapi.from_url(url, config=config(max_examples), headers=headers)
    loaded.config.update(headers=headers)
    # A log is followed until its run ends, and here no worker ends any.
    yield loaded.exclude(path_regex="/log/stream$")
    server.shutdown()
    thread.join()
    server.server_close()
    close(app)


def failures_of(schema: schemathesis.BaseSchema) -> Iterator[str]:
    """Run all phases and yield what failed, each with the request that shows it."""
    for event in engine.from_schema(schema).execute():
        if isinstance(event, NonFatalError):
            yield f"{event.label}: {event.value!r}"
        elif isinstance(event, FatalError):
            raise event.exception
        elif isinstance(event, ScenarioFinished):
            for checks in event.recorder.checks.values():
                for check in checks:
                    if check.failure_info is not None:
                        failure = check.failure_info
                        yield f"{event.label}: {failure.failure}\n{failure.code_sample}"


@pytest.mark.parametrize(
    "database_url, schema",
    [
        pytest.param("sqlite", (EXAMPLES, "admin"), marks=pytest.mark.timeout(1500), id="few"),
        pytest.param("sqlite", (NIGHTLY_EXAMPLES, "admin"), marks=NIGHTLY),
        pytest.param("postgresql", (NIGHTLY_EXAMPLES, "admin"), marks=NIGHTLY),
        pytest.param("sqlite", (ROLE_EXAMPLES, "editor"), marks=NIGHTLY, id="editor"),
        pytest.param("sqlite", (ROLE_EXAMPLES, "operator"), marks=NIGHTLY, id="operator"),
        pytest.param("sqlite", (ROLE_EXAMPLES, "viewer"), marks=NIGHTLY, id="viewer"),
    ],
    indirect=True,
)
def test_the_api_keeps_what_its_document_says(schema: schemathesis.BaseSchema) -> None:
    assert not (failures := list(failures_of(schema))), "\n".join(failures)
