"""Rights that depend on the job: commands, the arguments of a start, masks, and tags."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import event

from jobs_app.accounts import audit
from jobs_app.accounts.principal import Principal
from jobs_app.core.roles import Role
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.models.jobs import Job
from jobs_app.db.models.runs import LogChunk
from jobs_app.jobs import dry_run
from jobs_app.web import job_rights
from jobs_app.web import session as web_session
from jobs_app.web.app import create_app
from tests.web.conftest import NOW, Api, a_run, close

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

ApiOf = Callable[..., Api]
Store = Callable[..., None]

HTTP = {"task": "http", "kwargs": {"url": "https://example.org/", "timeout_seconds": 5}}


@pytest.fixture
def http_job(api: Api) -> dict[str, Any]:
    """A job of which whoever starts it may set the URL."""
    return api.make_job("ping", **HTTP, run_arguments=["url"], overlap_policy="allow_all")


def test_an_operator_sets_the_arguments_that_the_job_names_and_no_other(
    http_job: dict[str, Any], api_of: ApiOf
) -> None:
    operator = api_of("operator")
    named = {"kwargs": {"url": "https://example.com/"}}

    assert operator.post("/jobs/ping/runs", named).status_code == 202
    for body in (
        {"kwargs": {"timeout_seconds": 9}},
        {"kwargs": {"url": "https://example.com/", "timeout_seconds": 5}},
        {"kwargs": {"new": 1}},
    ):
        answer = operator.post("/jobs/ping/runs", body)
        assert (answer.status_code, answer.json["code"]) == (403, "forbidden"), body
        argument = next(name for name in body["kwargs"] if name != "url")
        assert [error["pointer"] for error in answer.json["errors"]] == [f"/kwargs/{argument}"]
        assert repr(argument) in answer.json["detail"]
    answer = operator.post("/jobs/ping/runs", {"overlap_policy": "allow_all"})
    assert (answer.status_code, "overlap policy" in answer.json["detail"]) == (403, True)
    assert len(operator.get("/runs").json["items"]) == 1


def test_an_operator_refers_to_no_secret(api: Api, http_job: dict[str, Any], api_of: ApiOf) -> None:
    api.put("/secrets/KEY", {"value": "s3cr3t"})
    body = {"kwargs": {"url": "https://example.org/?q=${secret:KEY}"}}

    answer = api_of("operator").post("/jobs/ping/runs", body)

    assert (answer.status_code, "secrets" in answer.json["detail"]) == (403, True)
    assert api_of("editor").post("/jobs/ping/runs", body).status_code == 202


@pytest.mark.parametrize("task_of_run, status", [("http", 202), ("sleep", 403)])
def test_a_retry_takes_the_arguments_that_a_start_of_the_same_task_takes(
    http_job: dict[str, Any], api_of: ApiOf, store: Store, task_of_run: str, status: int
) -> None:
    run = a_run(job_id=http_job["id"], task=task_of_run, kwargs=HTTP["kwargs"])
    store(run)
    operator = api_of("operator")

    for kwargs, expected in (({"url": "https://a.example/"}, status), ({"method": "PUT"}, 403)):
        answer = operator.post(f"/runs/{run.id}/retry", {"kwargs": kwargs})
        assert answer.status_code == expected, answer.text


def test_a_run_without_a_job_is_repeated_as_it_was_only(api_of: ApiOf, store: Store) -> None:
    run = a_run()
    store(run)
    operator = api_of("operator")

    assert operator.post(f"/runs/{run.id}/retry", {"kwargs": {"duration": 2}}).status_code == 403
    assert operator.post(f"/runs/{run.id}/retry", {}).status_code == 202


@pytest.fixture
def command_app(settings: Settings) -> Iterator[Flask]:
    """An application in which `sleep` counts as a task that runs commands."""
    made = create_app(settings.model_copy(update={"command_tasks": "other.task, sleep"}))
    yield made
    close(made)


def test_a_command_task_that_does_not_exist_is_an_error_in_the_log(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    close(create_app(settings.model_copy(update={"command_tasks": "sleep, sleeep"})))

    (record,) = [record for record in caplog.records if "_unknown task" in record.getMessage()]
    assert record.levelname == "ERROR"
    assert "task='sleeep'" in record.getMessage()
    assert "Did you mean 'sleep'?" in record.getMessage()


@pytest.mark.parametrize("task", ["shell", "sleep"])
def test_only_with_the_grant_a_job_that_runs_commands_is_saved_or_started_otherwise(
    command_app: Flask, api: Api, api_of: ApiOf, store: Store, task: str
) -> None:
    kwargs = {"command": "true"} if task == "shell" else {"duration": 1}
    job = {"task": task, "kwargs": kwargs}
    made = api.make_job("old", **job)
    other = api.make_job("other", **HTTP)
    run = a_run(job_id=made["id"], task=task, kwargs=kwargs)
    store(run)
    requests = (
        ("POST", "/jobs", job | {"name": "new"}, 201),
        ("POST", "/jobs?dry_run=true", job | {"name": "newer"}, 200),
        ("PATCH", "/jobs/old", {"description": "only a word"}, 200),
        ("PUT", "/jobs/old", HTTP, 200),
        ("PUT", "/jobs/other", job, 200),
        ("POST", f"/runs/{run.id}/retry", {"kwargs": kwargs}, 202),
        ("POST", "/runs", job, 202),
        ("DELETE", "/jobs/new", None, 204),
    )
    editor, granted = (
        Api(command_app, api_of("editor", grants=grants).token) for grants in ((), ("commands",))
    )
    assert other["task"] == "http"
    for method, path, body, status in requests:
        headers = {"If-Match": "*"}
        if method != "DELETE":
            refused = editor.send(method, path, json=body, headers=headers)
            assert refused.status_code == 403, (method, path, refused.text)
            assert "grant commands" in refused.json["detail"]
        answer = granted.send(method, path, json=body, headers=headers)
        assert answer.status_code == status, (method, path, answer.text)


@pytest.fixture
def account_app(settings: Settings) -> Iterator[Flask]:
    """An application whose jobs may name two accounts."""
    made = create_app(settings.model_copy(update={"shell_users": "root,nobody"}))
    yield made
    close(made)


def test_only_an_admin_has_a_command_run_as_root(
    account_app: Flask, api_of: ApiOf, store: Store
) -> None:
    admin = Api(account_app, api_of("admin").token)
    granted = Api(account_app, api_of("editor", grants=("commands",)).token)
    command, as_root = {"command": "true", "user": "nobody"}, {"command": "true", "user": "root"}
    job = {"task": "shell", "kwargs": as_root}
    made = admin.post("/jobs", job | {"name": "of-root"}).json
    run = a_run(job_id=made["id"], task="shell", kwargs=as_root)
    store(run)
    requests = (
        ("POST", "/jobs", job | {"name": "new"}, 201),
        ("PUT", "/jobs/of-nobody", job, 200),
        ("PATCH", "/jobs/of-root", {"kwargs": {"command": "id"}}, 200),
        ("PATCH", "/jobs/of-root", {"kwargs": {"user": "nobody"}}, 200),
        ("POST", "/jobs/of-root/runs", {"kwargs": {"command": "id"}}, 202),
        ("POST", "/jobs/of-nobody/runs", {"kwargs": {"user": "root"}}, 202),
        ("POST", f"/runs/{run.id}/retry", {"kwargs": {"command": "id"}}, 202),
        ("POST", "/runs", job, 202),
    )
    of_nobody = {"name": "of-nobody", "task": "shell", "kwargs": command}
    assert granted.post("/jobs", of_nobody).status_code == 201
    # Its author has said what runs as root, so whoever may start a job starts it.
    assert granted.post("/jobs/of-root/runs", {}).status_code == 202

    for method, path, body, _ in requests:
        refused = granted.send(method, path, json=body, headers={"If-Match": "*"})
        assert refused.status_code == 403, (method, path, refused.text)
        assert "may not have commands run as root. An admin can." in refused.json["detail"]
    for method, path, body, status in requests[::-1]:
        path = f"{path}?dry_run=true" if path.startswith("/jobs/of") and method != "POST" else path
        answer = admin.send(method, path, json=body, headers={"If-Match": "*"})
        assert answer.status_code in (status, 409), (method, path, answer.text)


@pytest.mark.parametrize("name", ["command", "user", "limits"])
def test_a_start_does_not_say_who_runs_a_command(account_app: Flask, api: Api, name: str) -> None:
    job = {"name": "x", "task": "shell", "kwargs": {"command": "true"}, "run_arguments": [name]}

    answer = Api(account_app, api.token).post("/jobs", job)

    assert answer.status_code == 422
    assert [error["code"] for error in answer.json["errors"]] == ["command_argument"]


def test_an_editor_without_the_grant_does_not_delete_or_start_a_command_otherwise(
    api: Api, api_of: ApiOf
) -> None:
    api.make_job("old")
    editor = api_of("editor")

    assert editor.delete("/jobs/old").status_code == 403
    other = {"kwargs": {"command": "id"}}
    assert editor.post("/jobs/old/runs", other).status_code == 403
    assert editor.post("/jobs/old/runs", {}).status_code == 202


def test_the_command_itself_cannot_be_set_at_a_start(api: Api) -> None:
    body = {"name": "new", "task": "shell", "kwargs": {"command": "true"}}

    answer = api.post("/jobs", body | {"run_arguments": ["cwd", "command"]})

    assert answer.status_code == 422
    assert [(e["pointer"], e["code"]) for e in answer.json["errors"]] == [
        ("/run_arguments/1", "command_argument")
    ]


def test_purging_is_for_admins(api: Api, api_of: ApiOf) -> None:
    api.make_job("ping", **HTTP)
    editor = api_of("editor")

    assert editor.delete("/jobs/ping?purge=true").status_code == 403
    assert editor.delete("/jobs/ping").status_code == 204


def test_arguments_are_masked_for_whoever_may_only_read_or_start(
    api: Api, api_of: ApiOf, store: Store
) -> None:
    kwargs = {"url": "https://hidden.example/", "timeout_seconds": 4321}
    more = {"schedule": {"cron": "0 0 1 1 *"}, "overlap_policy": "allow_all"}
    job = api.make_job("ping", task="http", kwargs=kwargs, **more)
    api.patch("/jobs/ping", {"kwargs": {"timeout_seconds": 4322}})
    run = a_run(job_id=job["id"], task="http", kwargs=kwargs)
    store(run)
    paths = ("/jobs", "/jobs/ping", "/runs", f"/runs/{run.id}", "/audit", "/jobs/ping/explain")
    writing: tuple[tuple[str, Any], ...] = (
        ("/jobs/ping/pause", {}),
        ("/jobs/ping/resume?dry_run=true", {}),
        ("/jobs/ping/resume", {}),
        ("/jobs/ping/runs", {}),
    )

    for role, scopes in (("viewer", None), ("operator", None), ("admin", ("read", "run"))):
        caller = api_of(role, scopes=scopes)
        answers = [caller.get(path) for path in paths]
        if role != "viewer":
            answers += [caller.post(path, body) for path, body in writing]
        for answer in answers:
            assert answer.status_code < 300, answer.text
            assert "hidden.example" not in answer.text
            # Ids and instants have such digits too, but not between these.
            assert not re.search(r"[:\s]432[12]\b", answer.text)
        masked = {"url": "***", "timeout_seconds": "***"}
        assert answers[1].json["kwargs"] == answers[3].json["kwargs"] == masked
        changed = answers[4].json["items"][0 if role == "viewer" else -2]["detail"]
        assert (changed.get("after") or {"kwargs": masked})["kwargs"] == masked
    assert "hidden.example" in api_of("editor").get("/jobs/ping").text


def test_a_warning_that_quotes_arguments_or_secrets_is_masked_too(api: Api, api_of: ApiOf) -> None:
    api.put("/secrets/HIDDEN_KEY", {"value": "s3cr3t"})
    command = {"command": "#!/opt/hidden/python", "env": {"KEY": "${secret:HIDDEN_KEY}"}}
    api.make_job(kwargs=command, run_arguments=["env"])
    api.send("DELETE", "/secrets/HIDDEN_KEY?force=true", headers={"If-Match": "*"})

    def answers(caller: Api) -> list[str]:
        paths = ("/jobs", "/jobs/nightly")
        return [
            *(caller.get(path).text for path in paths),
            caller.post("/jobs/nightly/resume?dry_run=true", {}).text,
            caller.post("/jobs/nightly/resume", {}).text,
        ]

    for text in answers(api_of("editor")):
        assert "/opt/hidden/python" in text
        assert "no secret 'HIDDEN_KEY'" in text
    for text in answers(api_of("operator")):
        assert "idden/python" not in text
        assert "HIDDEN_KEY" not in text
        assert "a warning about its arguments" in text
        assert "can set env" in text


def test_an_export_with_masks_cannot_be_saved(api: Api, api_of: ApiOf) -> None:
    api.make_job("old", kwargs={"command": "true"})
    shown = api_of("viewer").get("/jobs/old").json

    answer = api.patch("/jobs/old", {"kwargs": shown["kwargs"]})

    assert answer.status_code == 422
    assert {error["code"] for error in answer.json["errors"]} == {"masked_value"}


def test_an_error_of_an_argument_that_is_hidden_does_not_show_it(
    api_of: ApiOf, store: Store
) -> None:
    run = a_run(kwargs={"duration": "hidden text", "secret_name": 1})
    store(run)
    operator, editor = api_of("operator"), api_of("editor")

    answer = operator.post(f"/runs/{run.id}/retry", {})
    full = editor.post(f"/runs/{run.id}/retry", {})

    assert [error["code"] for error in answer.json["errors"]] == ["hidden_argument"]
    assert "secret_name" not in answer.text
    assert "secret_name" in full.text


@pytest.mark.parametrize(
    "task, named, kwargs, is_warning",
    [
        ("http", "url", {"url": "https://a.example/", "body": "${secret:KEY}"}, True),
        ("http", "timeout_seconds", {"url": "https://a.example/", "body": "${secret:KEY}"}, False),
        ("http", "url", {"url": "https://a.example/", "body": "x"}, False),
        ("email", "cc", {"to": ["a@a.example"], "subject": "x", "body": "${secret:KEY}"}, True),
        ("celery", "queue", {"broker": "${secret:KEY}", "task": "shop.add"}, True),
        ("celery", "kwargs", {"broker": "${secret:KEY}", "task": "shop.add"}, False),
    ],
)
def test_a_start_that_may_send_secrets_elsewhere_is_a_warning(
    api: Api, api_of: ApiOf, task: str, named: str, kwargs: dict[str, Any], is_warning: bool
) -> None:
    api.put("/secrets/KEY", {"value": "s3cr3t"})
    made = api.make_job(task=task, kwargs=kwargs, run_arguments=[named])

    sentence = f"Whoever may start the job can set {named}, and so may send its secrets elsewhere."
    assert (sentence in made["warnings"]) is is_warning
    assert "elsewhere" not in api_of("operator").get("/jobs/nightly").text


def test_a_start_that_may_set_the_context_of_a_command_is_a_warning(api: Api) -> None:
    job = api.make_job("new", run_arguments=["env"])

    assert any("can set env" in warning for warning in job["warnings"])
    assert not any("can set" in warning for warning in api.make_job("other")["warnings"])


@pytest.fixture
def teams(api: Api, store: Store) -> dict[str, Any]:
    """Jobs of two teams, each with a run and its log, and what must not be seen of the other."""
    ours = api.make_job("ours", tags=["billing"], **HTTP)
    theirs = api.make_job("theirs", tags=["ops"], description="needle", queue="far", **HTTP)
    runs = {}
    for job in (ours, theirs):
        run = a_run(RunState.FAILED, job_id=job["id"], note=f"note of {job['name']}")
        chunk = {"attempt": 1, "seq": 0, "stream": "stdout", "at": NOW, "text": job["name"]}
        store(run, LogChunk(run_id=run.id, **chunk))
        runs[job["name"]] = str(run.id)
    loose = a_run(note="note of nobody")
    store(loose)
    return runs | {"loose": str(loose.id)}


READ_PATHS = (
    *("/jobs", "/jobs?q=needle", "/jobs?tag=ops", "/jobs?last_state=failed", "/runs"),
    *("/runs?job=theirs", "/runs?q=note", "/runs?state=failed", "/runs?trigger=manual", "/audit"),
    *("/notifications", "/notifications?job=theirs", "/queues", "/concurrency", "/workers", "/me"),
    *("/jobs/ours", "/jobs/ours/next", "/jobs/ours/explain", "/jobs/ours/stats", "/channels"),
)


def test_a_limited_caller_finds_nothing_of_other_jobs_in_any_list(
    teams: dict[str, Any], api_of: ApiOf
) -> None:
    caller = api_of("editor", tags=("billing",))

    for path in READ_PATHS:
        answer = caller.get(path)
        assert answer.status_code == 200, (path, answer.text)
        for secret in ("theirs", "needle", "far", "nobody", teams["theirs"], teams["loose"]):
            assert secret not in answer.text, (path, secret)
    assert [job["name"] for job in caller.get("/jobs").json["items"]] == ["ours"]
    assert [run["id"] for run in caller.get("/runs").json["items"]] == [teams["ours"]]
    assert [run["id"] for run in caller.get("/runs?q=note").json["items"]] == [teams["ours"]]


def test_what_is_hidden_answers_exactly_as_what_does_not_exist(
    teams: dict[str, Any], api_of: ApiOf
) -> None:
    caller = api_of("editor", tags=("billing",))
    hidden, absent = teams["theirs"], "01890000-0000-7000-8000-000000000000"
    requests: list[tuple[str, str, Any]] = [
        *(("GET", f"/jobs/NAME{rest}", None) for rest in ("", "/next", "/explain", "/stats")),
        *(("POST", f"/jobs/NAME/{verb}", {}) for verb in ("pause", "resume", "runs")),
        ("POST", "/jobs/NAME/resume?dry_run=true", {}),
        ("PATCH", "/jobs/NAME", {"tags": ["billing"]}),
        ("PUT", "/jobs/NAME", HTTP | {"tags": ["billing"]}),
        ("DELETE", "/jobs/NAME", None),
        ("GET", "/audit?job=NAME", None),
        *(("GET", f"/runs/ID{rest}", None) for rest in ("", "/log", "/log/stream")),
        *(("POST", f"/runs/ID/{verb}", {}) for verb in ("cancel", "retry")),
    ]

    for method, path, body in requests:
        for run_id in (hidden, teams["loose"]) if "ID" in path else (hidden,):
            answers = [
                caller.send(
                    method,
                    path.replace("NAME", name).replace("ID", run),
                    json=body,
                    headers={"If-Match": "*"},
                )
                for name, run in (("theirs", run_id), ("absent", absent))
            ]
            texts = {
                answer.text.replace("theirs", "absent").replace(run_id, absent)
                for answer in answers
            }
            assert {answer.status_code for answer in answers} == {404}, (path, answers[0].text)
            assert len(texts) == 1, (path, texts)


def test_a_job_of_a_limited_caller_has_one_of_its_tags_and_keeps_one(api_of: ApiOf) -> None:
    caller = api_of("editor", tags=("billing",))

    for tags in ([], ["ops"]):
        answer = caller.post("/jobs", {"name": "new", "tags": tags, **HTTP})
        assert (answer.status_code, answer.json["errors"][0]["code"]) == (422, "tag_needed")
    assert caller.make_job("new", tags=["ops", "billing"], **HTTP)
    assert caller.patch("/jobs/new", {"tags": ["ops"]}).status_code == 422
    assert caller.patch("/jobs/new", {"tags": ["billing"]}).status_code == 200


def test_a_mail_cannot_carry_the_log_of_a_hidden_job(teams: dict[str, Any], api_of: ApiOf) -> None:
    caller = api_of("editor", tags=("billing",))
    mail = {"to": ["a@example.org"], "subject": "x", "attach_log_of": "theirs"}

    answer = caller.post(
        "/jobs", {"name": "m", "tags": ["billing"], "task": "email", "kwargs": mail}
    )

    assert answer.status_code == 422
    assert answer.json["errors"][0]["pointer"] == "/kwargs/attach_log_of"


def test_a_mail_with_a_hidden_log_is_not_sent_to_other_addresses(
    api: Api, api_of: ApiOf, store: Store
) -> None:
    api.make_job("theirs", tags=["ops"])
    mail = {"to": ["boss@example.org"], "subject": "Log", "attach_log_of": "theirs"}
    facts = {"task": "email", "kwargs": mail, "tags": ["billing"], "overlap_policy": "allow_all"}
    made = api.make_job("mail", **facts, run_arguments=["subject"])
    run = a_run(job_id=made["id"], task="email", kwargs=mail)
    store(run)
    limited = api_of("editor", tags=("billing",))
    starts = ("/jobs/mail/runs", f"/runs/{run.id}/retry")

    for path in starts:
        answer = limited.post(path, {"kwargs": {"to": ["me@example.org"]}})
        pointers = [error["pointer"] for error in answer.json["errors"]]
        assert (answer.status_code, pointers) == (422, ["/kwargs/attach_log_of"])
        # As its author wrote it, or without the log.
        assert limited.post(path, {"kwargs": {"subject": "Again"}}).status_code == 202
        without = {"to": ["me@example.org"], "attach_log_of": None}
        assert limited.post(path, {"kwargs": without}).status_code == 202
        assert api.post(path, {"kwargs": {"to": ["me@example.org"]}}).status_code == 202
    assert limited.patch("/jobs/mail", {"description": "x"}).status_code == 422
    assert limited.delete("/jobs/mail").status_code == 204


def test_a_repeated_request_shows_nothing_that_is_hidden_meanwhile(api: Api, api_of: ApiOf) -> None:
    caller, key = api_of("editor", tags=("billing",)), {"Idempotency-Key": "k1"}
    body = {"name": "new", "tags": ["billing"], **HTTP}
    assert caller.post("/jobs", body, headers=key).status_code == 201
    assert caller.post("/jobs", body, headers=key).headers["Idempotency-Replayed"] == "true"

    api.patch("/jobs/new", {"tags": ["ops"]})

    answer = caller.post("/jobs", body, headers=key)
    assert (answer.status_code, answer.json["code"]) == (404, "job_not_found")


def test_a_repeated_request_with_fewer_rights_is_another_request(api: Api, api_of: ApiOf) -> None:
    caller, key = api_of("editor"), {"Idempotency-Key": "k1"}
    api.make_job("ping", **HTTP)
    assert caller.post("/jobs/ping/runs", {}, headers=key).status_code == 202

    api.patch("/people/editor", {"role": "operator"})

    answer = caller.post("/jobs/ping/runs", {}, headers=key)
    assert (answer.status_code, answer.json["code"]) == (422, "idempotency_mismatch")


def test_every_statement_of_a_limited_caller_has_the_condition(
    teams: dict[str, Any], app: Flask, api_of: ApiOf
) -> None:
    caller = api_of("editor", tags=("billing",))
    statements: list[str] = []
    with app.app_context():
        engine = web_session.database.engine
    event.listen(
        engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement)
    )

    for path in (*READ_PATHS, f"/runs/{teams['ours']}", f"/runs/{teams['ours']}/log"):
        caller.get(path)

    about_jobs = [
        statement
        for statement in statements
        if any(f"FROM {table} " in " ".join(statement.split()) for table in ("jobs", "runs"))
    ]
    unlimited = {text for text in about_jobs if "LIKE" not in text}
    assert len(about_jobs) > 30
    # It counts the runs of each worker, and returns no more than that.
    assert [text for text in unlimited if "GROUP BY runs.worker_id" not in text] == []


def test_a_dry_run_refuses_the_name_of_a_hidden_job_as_the_save_does(
    teams: dict[str, Any], api_of: ApiOf
) -> None:
    caller = api_of("editor", tags=("billing",))
    body = {"name": "theirs", "tags": ["billing"], **HTTP}

    codes = [caller.post(f"/jobs{query}", body).json["code"] for query in ("?dry_run=true", "")]

    assert codes == ["name_taken", "name_taken"]


def test_a_dry_run_counts_no_hidden_jobs(
    teams: dict[str, Any], api_of: ApiOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "MANY_JOBS", 1)
    body = {"name": "new", "tags": ["billing"], **HTTP}
    body["schedule"] = {"cron": "30 2 * * *", "timezone": "Europe/Paris"}
    warnings = [
        caller.post("/jobs?dry_run=true", body).json["effect"]["warnings"]
        for caller in (api_of("editor"), api_of("editor", tags=("billing",)))
    ]

    assert any(text.startswith("2 other jobs ") for text in warnings[0])
    assert any(text.startswith("1 other job ") for text in warnings[1])


def test_the_status_of_a_hidden_task_is_that_of_an_unknown_one(
    teams: dict[str, Any], api_of: ApiOf
) -> None:
    caller = api_of("viewer", tags=("billing",))

    statuses = {
        name: caller.get(f"//task-status/{teams[name]}").json["status"]
        for name in ("ours", "theirs", "loose")
    }

    assert statuses == {"ours": "FAILURE", "theirs": "PENDING", "loose": "PENDING"}


def test_a_caller_without_all_rights_changes_only_the_job_that_was_checked(app: Flask) -> None:
    job = Job(version=7)
    for role, version in ((Role.EDITOR, 7), (Role.ADMIN, None)):
        with app.test_request_context():
            g.principal = Principal("token:1", "ci", "ci", role)
            assert job_rights.checked_version(job, None) == version
            assert job_rights.checked_version(job, 3) == 3


def test_the_audit_shows_each_role_its_part(api: Api, api_of: ApiOf) -> None:
    api.make_job("ping", **HTTP)
    api.post("/jobs/ping/runs", {})
    api.put("/secrets/KEY", {"value": "s3cr3t"})
    api.post("/people", {"name": "ann", "role": "viewer"})
    callers = [api_of(role) for role in ("viewer", "operator", "editor")]
    callers.append(api_of("admin", scopes=("read",), name="reader"))

    actions = [
        {event["action"] for event in caller.get("/audit").json["items"]} for caller in callers
    ]

    assert actions[0] == {"create"}
    assert actions[1] == actions[3] == {"create", "start"}
    assert actions[2] == {"create", "start", "create_secret"}
    everything = {event["action"] for event in api.get("/audit").json["items"]}
    assert everything == actions[2] | {"create_person", "token_create"}


def test_a_secret_of_hidden_jobs_is_kept_and_they_are_not_named(
    api: Api, api_of: ApiOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if many events were written since the job was saved.
    monkeypatch.setattr(audit, "OPEN_EVENTS", 0)
    api.put("/secrets/KEY", {"value": "s3cr3t"})
    url = {"url": "https://example.org/?q=${secret:KEY}"}
    api.make_job("theirs", tags=["ops"], task="http", kwargs=url)
    caller = api_of("editor", grants=("secrets",), tags=("billing",))

    answer = caller.delete("/secrets/KEY")

    assert (answer.status_code, answer.json["code"]) == (409, "secret_in_use")
    assert "theirs" not in answer.text
    assert json.loads(caller.get("/secrets/KEY").text)["jobs"] == []
