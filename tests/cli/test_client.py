"""How the command line finds the server, signs in, and tells what went wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from jobs_app.cli.client import bearer_token, server_url
from jobs_app.cli.failure import Failure
from jobs_app.cli.paths import job_path
from jobs_app.up.valkey import free_port
from tests.cli.canned import Canned, CannedServer, a_job, page, problem

Run = Callable[..., Result]


@pytest.mark.parametrize(
    "status, exit_code",
    [
        (401, 5),
        (403, 5),
        (404, 3),
        (409, 4),
        (412, 4),
        (428, 4),
        (400, 2),
        (422, 2),
        (413, 2),
        (429, 6),
        (500, 6),
        (503, 6),
    ],
)
def test_each_refusal_has_its_documented_exit_code(
    server: CannedServer, run: Run, status: int, exit_code: int
) -> None:
    server.on("GET", "/jobs/hello", problem(status, code="any", detail="The reason."))

    result = run("job", "show", "hello")

    assert result.exit_code == exit_code
    assert "The reason." in result.stderr
    assert result.stdout == ""


def test_each_broken_field_gets_a_line(server: CannedServer, run: Run) -> None:
    errors = [
        {"pointer": "/schedule/cron", "code": "invalid_schedule", "detail": "61 is no minute."},
        {"pointer": "/name", "code": "invalid_name", "detail": "Not a slug."},
    ]
    server.on(
        "POST", "/jobs", problem(422, code="invalid_input", detail="Two fields.", errors=errors)
    )

    result = run("job", "create", "x", "--command", "date", "--cron", "61 * * * *")

    assert result.stderr.splitlines() == [
        "jobs-app: Two fields.",
        "  --cron: 61 is no minute.",
        "  NAME: Not a slug.",
    ]


def test_a_detail_that_only_repeats_the_fields_is_said_once(server: CannedServer, run: Run) -> None:
    errors = [{"pointer": "/name", "code": "invalid_name", "detail": "Not a slug."}]
    server.on(
        "POST", "/jobs", problem(422, code="invalid_input", detail="Not a slug.", errors=errors)
    )

    result = run("job", "create", "x", "--command", "date")

    assert result.stderr.count("Not a slug.") == 1


def test_an_error_cannot_drive_the_terminal(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs/hello", problem(404, code="x", detail="No \x1b[31mjob\x1b[0m\x07."))

    result = run("job", "show", "hello")

    assert result.stderr == "jobs-app: No job.\n"


def test_no_server_is_said_so_with_code_6(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("JOBS_URL", url)

    result = run("job", "list")

    assert result.exit_code == 6
    assert result.stderr == f"jobs-app: No server at {url}: is `jobs-app up` running?\n"


@pytest.mark.parametrize(
    "name, value",
    [
        ("JOBS_URL", "nonsense"),
        ("JOBS_URL", "ftp://127.0.0.1"),
        ("JOBS_URL", "http://["),
        ("JOBS_URL", "http://:5000"),
        ("JOBS_URL", "http://127.0.0.1:x"),
        ("JOBS_URL", "http://127.0.0.1:0"),
        ("JOBS_URL", "http://a b:5000"),
        ("JOBS_URL", "http://a..b"),
        ("JOBS_PORT", "tcp://10.96.0.5:5000"),
        ("JOBS_PORT", "5000/tcp"),
        ("JOBS_PORT", "70000"),
        ("JOBS_PORT", "+5000"),
        ("JOBS_HOST", "a b"),
        ("JOBS_HOST", "a/b"),
    ],
)
def test_an_address_that_no_client_can_open_is_a_usage_error(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.delenv("JOBS_URL", raising=False)
    monkeypatch.setenv(name, value)

    result = run("job", "list")

    assert result.exit_code == 2
    assert f"{name} must be" in result.stderr


def test_another_server_on_the_port_is_reported(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", Canned(b"<h1>Not Found</h1>", 404, {"Content-Type": "text/html"}))

    result = run("job", "list")

    assert result.exit_code == 6
    assert f"What answers at {server.url} is not jobs-app" in result.stderr


def test_a_redirect_is_not_followed_with_the_token(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", Canned(b"", 301, {"Location": "https://elsewhere.example/"}))

    result = run("job", "list")

    assert "redirects to https://elsewhere.example/" in result.stderr
    assert len(server.requests) == 1


def test_a_post_carries_an_idempotency_key_of_its_own(server: CannedServer, run: Run) -> None:
    server.on("POST", "/jobs", Canned(a_job(), 201))

    run("job", "create", "hello", "--command", "date")
    run("job", "create", "hello", "--command", "date")

    first, second = (request.headers["Idempotency-Key"] for request in server.requests)
    assert first != second


def test_the_token_goes_into_the_authorization_header(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", page())

    run("job", "list")

    assert server.requests[0].headers["Authorization"] == "Bearer sj_secret"


def test_the_admin_token_is_not_offered_to_another_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "admin-token").write_text("sj_admin\n")
    monkeypatch.setenv("JOBS_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("JOBS_TOKEN", raising=False)

    assert bearer_token("https://jobs.example.org") is None


@pytest.mark.parametrize(
    "environment, url",
    [
        ({}, "http://127.0.0.1:5000"),
        ({"JOBS_PORT": "8080"}, "http://127.0.0.1:8080"),
        ({"JOBS_HOST": "0.0.0.0"}, "http://127.0.0.1:5000"),
        ({"JOBS_HOST": "192.168.1.5"}, "http://192.168.1.5:5000"),
        ({"JOBS_HOST": "::1"}, "http://[::1]:5000"),
        (
            {"JOBS_URL": "https://jobs.example.org/x/", "JOBS_PORT": "1"},
            "https://jobs.example.org/x",
        ),
    ],
)
def test_the_server_is_the_one_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], url: str
) -> None:
    for name in ("JOBS_URL", "JOBS_HOST", "JOBS_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert server_url() == url


def test_a_password_in_the_url_is_refused_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBS_URL", "https://ann:hunter2@jobs.example.org")

    with pytest.raises(Failure, match="with no user") as raised:
        server_url()

    assert "hunter2" not in str(raised.value)


def test_what_was_typed_as_a_name_stays_one_segment_of_the_path() -> None:
    assert job_path("../runs?x=1#y") == "/jobs/..%2Fruns%3Fx%3D1%23y"
    assert job_path("..") == "/jobs/%2E%2E"


def test_a_list_is_read_page_after_page(server: CannedServer, run: Run) -> None:
    first = page(a_job(name="a"), next_cursor="c1")
    server.on("GET", "/jobs", first, page(a_job(name="b")))

    result = run("job", "list", "--all")

    assert [line.split()[0] for line in result.stdout.splitlines()] == ["NAME", "a", "b"]
    assert [request.query.get("cursor") for request in server.requests] == [None, "c1"]
    assert result.stderr == ""


def test_a_list_that_goes_on_says_so(server: CannedServer, run: Run) -> None:
    server.on("GET", "/jobs", page(a_job(), next_cursor="c1"))

    result = run("job", "list", "--limit", "1")

    assert server.requests[0].query == {"limit": "1"}
    assert "There are more" in result.stderr


def test_health_is_the_answer_of_readyz(server: CannedServer, run: Run) -> None:
    ready = Canned({"status": "ready"})
    server.on(
        "GET",
        "/readyz",
        ready,
        Canned({"status": "unavailable", "checks": {"database": {"status": "refused"}}}, 503),
    )

    well, ill = run("health"), run("health")

    assert well.exit_code == 0
    assert ill.exit_code == 6
    assert ill.stdout.splitlines()[1:] == ["Status    unavailable", "Database  refused"]
