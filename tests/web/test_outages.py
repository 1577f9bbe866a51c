"""Without Redis, and without the database: what is promised all the same."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import text

from jobs_app.accounts import tokens
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.db import write_check
from jobs_app.db.engine import Database
from jobs_app.db.migrations import migrate
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.up.valkey import free_port
from jobs_app.web import outage_line
from jobs_app.web.app import create_app
from tests.disk import full_disk
from tests.redbeat_scores import scores
from tests.servers import PostgresServer, ValkeyServer, crowding, wait_until
from tests.web.conftest import NOW, Api, a_job, close

LIMIT_SECONDS = 1.0


@pytest.fixture
def valkey_api(settings: Settings, token: str, valkey: ValkeyServer) -> Iterator[Api]:
    """A client of an application whose Redis the test may stop or freeze."""
    valkey.flushall()
    app = create_app(settings.model_copy(update={"redis_url": valkey.url}))
    yield Api(app, token)
    close(app)


def timed(call: Any) -> tuple[Any, float]:
    started = time.monotonic()
    answer = call()
    return answer, time.monotonic() - started


def test_a_stored_job_is_projected_at_once(valkey_api: Api, valkey: ValkeyServer) -> None:
    job = valkey_api.make_job()

    projection = Projection(Settings(redis_url=valkey.url))
    assert list(scores(projection)) == [job["id"]]
    valkey_api.delete("/jobs/nightly")
    assert scores(projection) == {}
    projection.close()


def test_a_run_now_is_sent_at_once(valkey_api: Api, valkey: ValkeyServer) -> None:
    run = valkey_api.post("/runs", {"task": "sleep", "kwargs": {"duration": 1}, "queue": "slow"})

    with valkey.client() as client:
        keys = list(client.scan_iter("jobs:slow*"))
        messages = b"".join(client.lindex(key, 0) or b"" for key in keys)
    assert run.json["id"].encode() in messages


def test_with_redis_stopped_a_job_is_stored_within_a_second(
    valkey_api: Api, valkey: ValkeyServer
) -> None:
    valkey.stop()
    try:
        created, seconds = timed(lambda: valkey_api.post("/jobs", a_job()))
        started, more = timed(lambda: valkey_api.post("/jobs/nightly/runs", {}))
    finally:
        valkey.start()

    assert (created.status_code, started.status_code) == (201, 202)
    assert max(seconds, more) < LIMIT_SECONDS * crowding()
    assert valkey_api.get("/jobs/nightly").status_code == 200


def test_with_redis_frozen_a_job_is_stored_within_a_second(
    valkey_api: Api, valkey: ValkeyServer
) -> None:
    valkey_api.make_job("warm")  # connections that are open already hang differently
    valkey.pause()
    try:
        answers = [
            timed(lambda name=name: valkey_api.post("/jobs", a_job(name=name)))
            for name in ("a", "b", "c")
        ]
        started, seconds = timed(lambda: valkey_api.post("/jobs/a/runs", {}))
        readiness, more = timed(lambda: valkey_api.get("//readyz"))
    finally:
        valkey.resume()

    assert [answer.status_code for answer, _ in answers] == [201, 201, 201]
    assert (started.status_code, readiness.status_code) == (202, 200)
    assert max(seconds, more, *(spent for _, spent in answers)) < LIMIT_SECONDS * crowding()
    assert readiness.json["checks"]["redis"]["status"] == "unreachable"


def redis_status(api: Api) -> str:
    return str(api.get("//readyz").json["checks"]["redis"]["status"])


def fill(redis: Redis) -> None:
    redis.config_set("maxmemory", 1)


def drain(redis: Redis) -> None:
    redis.config_set("maxmemory", 0)


def demote(redis: Redis) -> None:
    redis.replicaof("127.0.0.1", "1")


def promote(redis: Redis) -> None:
    redis.replicaof("NO", "ONE")


@pytest.mark.parametrize("spoil, mend", [(fill, drain), (demote, promote)])
def test_with_a_redis_that_takes_nothing_a_job_is_stored_and_readyz_says_why(
    valkey_api: Api,
    valkey: ValkeyServer,
    spoil: Callable[[Redis], None],
    mend: Callable[[Redis], None],
) -> None:
    with valkey.client() as redis:
        spoil(redis)
        try:
            created = valkey_api.post("/jobs", a_job())
            started = valkey_api.post("/jobs/nightly/runs", {})
            wait_until(lambda: redis_status(valkey_api) == "refuses writes", "readyz says why")
            readiness = valkey_api.get("//readyz")
        finally:
            mend(redis)

    assert (created.status_code, started.status_code) == (201, 202)
    assert (readiness.status_code, readiness.json["status"]) == (200, "degraded")
    wait_until(lambda: redis_status(valkey_api) == "ok", "Redis is used again")


def test_redis_is_used_again_when_it_is_back(valkey_api: Api, valkey: ValkeyServer) -> None:
    valkey.pause()
    valkey_api.make_job("a")
    valkey.resume()

    wait_until(
        lambda: valkey_api.get("//readyz").json["checks"]["redis"]["status"] == "ok",
        "readyz finds Redis",
    )
    job = valkey_api.make_job("b")

    projection = Projection(Settings(redis_url=valkey.url))
    assert job["id"] in scores(projection)
    projection.close()


def test_the_log_says_once_that_redis_is_down_and_once_that_it_is_back(
    valkey_api: Api, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    def lines() -> list[str]:
        events = [message.split()[0] for message in caplog.messages]
        return [event for event in events if event.startswith("redis_")]

    # The line of the pages asks with a thread of its own.
    line = valkey_api.app.extensions[outage_line.NAME]
    valkey.stop()
    try:
        for number in range(3):
            valkey_api.post("/jobs", a_job(name=f"job{number}"))
            line.renew()
        down = lines()
    finally:
        valkey.start()
    wait_until(lambda: redis_status(valkey_api) == "ok", "Redis is used again")
    line.renew()

    assert len(down) == 1
    assert lines() == [*down, "redis_available"]


def test_without_a_configured_redis_jobs_are_stored_all_the_same(api: Api) -> None:
    answer, seconds = timed(lambda: api.post("/jobs", a_job()))

    assert answer.status_code == 201
    assert seconds < LIMIT_SECONDS * crowding()
    readiness = api.get("//readyz")
    assert (readiness.status_code, readiness.json["status"]) == (200, "degraded")


def test_readyz_and_the_log_name_a_redis_that_may_drop_keys(
    valkey_api: Api, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    with valkey.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            readiness = valkey_api.get("//readyz").json
        finally:
            client.config_set("maxmemory-policy", "noeviction")

    [warning] = readiness["checks"]["redis"]["warnings"]
    assert "maxmemory-policy allkeys-lru" in warning
    assert warning in caplog.text


def test_readyz_names_each_part(api: Api) -> None:
    checks = api.get("//readyz").json["checks"]

    assert checks["database"]["status"] == "ok"
    assert checks["scheduler"]["status"] == "never started"
    assert checks["imports"]["status"] == "ok"


def test_readyz_names_what_is_wrong_to_readers_only(
    app: Flask, api: Api, api_of: Callable[..., Api]
) -> None:
    api.make_job("a", queue="payroll")
    limited, writer = api_of("viewer", tags=("billing",)), api_of("editor", scopes=("write",))
    others = [limited, writer, Api(app, "jobs_unknown")]

    named = api_of("viewer").get("//readyz").json
    answers = [one.get("//readyz") for one in others] + [app.test_client().get("/readyz")]

    assert named["checks"]["queues"] == {"status": "no worker", "unserved": ["payroll"]}
    assert "revision" in named["checks"]["database"]
    statuses = {name: {"status": check["status"]} for name, check in named["checks"].items()}
    for answer in answers:
        assert (answer.status_code, answer.json) == (200, {**named, "checks": statuses})


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk_is_named_by_readyz_and_by_the_answer_to_a_write(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_check, "HOLD_SECONDS", 0)
    api.make_job("a")

    with full_disk():
        refused = api.post("/jobs", a_job())
        full = api.get("//readyz")
    after = api.get("//readyz")

    assert (refused.status_code, refused.json["code"]) == (503, "database_unavailable")
    assert "disk is full" in refused.json["detail"]
    assert (full.status_code, full.json["status"]) == (200, "degraded")
    assert full.json["checks"]["database"]["status"] == "refuses writes"
    assert "disk may be full" in full.json["checks"]["database"]["detail"]
    assert after.json["checks"]["database"]["status"] == "ok"


@pytest.fixture
def broken_app(tmp_path: Path) -> Iterator[Flask]:
    """An application whose database nobody serves."""
    url = f"postgresql://jobs@127.0.0.1:{free_port()}/jobs"
    app = create_app(Settings(data_dir=tmp_path, database_url=url))
    yield app
    close(app)


@pytest.mark.parametrize(
    "method, path", [("GET", "/jobs"), ("POST", "/jobs"), ("GET", "/runs"), ("GET", "/none")]
)
def test_without_its_database_it_answers_503_and_no_traceback(
    broken_app: Flask, method: str, path: str
) -> None:
    answer = Api(broken_app, "jobs_any").send(method, path, json=a_job())

    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert answer.mimetype == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    for secret in ("Traceback", "psycopg", "127.0.0.1", "SELECT"):
        assert secret not in answer.text


def test_without_its_database_it_lives_but_is_not_ready(broken_app: Flask) -> None:
    api = Api(broken_app, "jobs_any")

    ready = api.get("//readyz")

    assert api.get("//healthz").status_code == 200
    assert (ready.status_code, ready.json["status"]) == (503, "unavailable")
    assert ready.json["checks"]["database"]["status"] == "unreachable"


def test_a_database_that_goes_away_between_requests_is_reported(
    tmp_path: Path, migrated_sqlite: Path
) -> None:
    path = tmp_path / "jobs.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    settings = Settings(data_dir=tmp_path, database_url=f"sqlite:///{path}")
    database = Database(settings.effective_database_url)
    with database.session() as session:
        token = tokens.create(session, "tester", at=NOW)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE idempotency_keys")
    database.close()
    app = create_app(settings)

    answer = Api(app, token).post("/jobs", a_job(), headers={"Idempotency-Key": "1"})

    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert Api(app, token).get("/jobs").json["items"] == []
    close(app)


def test_an_older_web_server_serves_a_database_that_a_newer_version_has_migrated(
    api: Api, settings: Settings
) -> None:
    database = Database(settings.effective_database_url)
    with database.session() as session, session.begin():
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        session.execute(text("ALTER TABLE jobs ADD COLUMN new_thing TEXT"))
        session.execute(text("ALTER TABLE runs ADD COLUMN new_thing TEXT"))
    database.close()

    created = api.post("/jobs", a_job())
    readiness = api.get("//readyz")

    assert created.status_code == 201
    assert (readiness.status_code, readiness.json["status"]) == (200, "degraded")
    assert readiness.json["checks"]["database"]["status"] == "newer"


def test_a_database_without_tables_is_not_ready(
    tmp_path: Path, unmigrated_database_url: str
) -> None:
    app = create_app(Settings(data_dir=tmp_path, database_url=unmigrated_database_url))

    answer: Any = app.test_client().get("/readyz")

    assert answer.status_code == 503
    assert answer.json["checks"]["database"]["status"] == "not migrated"
    close(app)


def test_a_database_that_refuses_its_user_is_named(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    url = postgres.create_database()
    migrate(Settings(data_dir=tmp_path, database_url=url))
    powerless = f"{url}?options=-c%20role%3Dpg_monitor"
    settings = Settings(data_dir=tmp_path, database_url=powerless, redis_url="redis://127.0.0.1:1")
    app = create_app(settings)

    answer = Api(app, "sj_any").get("/jobs")
    ready = app.test_client().get("/readyz")
    with pytest.raises(ConfigurationError, match=r"refuses its user: permission denied"):
        migrate(settings, "base")
    close(app)

    assert (answer.status_code, answer.json["code"]) == (503, "database_unavailable")
    assert "lacks a right" in answer.json["detail"]
    assert ready.status_code == 503
    assert json.loads(ready.data)["checks"]["database"]["status"] == "refused"


def test_a_module_of_tasks_that_cannot_be_imported_stops_nothing(
    settings: Settings, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_tasks.py").write_text("import no_such_module\n")
    (tmp_path / "good_tasks.py").write_text(
        "from celery import shared_task\n\n\n@shared_task\ndef add(x: int, y: int) -> int:\n"
        '    """Add two numbers."""\n    return x + y\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    imports = "broken_tasks, good_tasks"
    app = create_app(settings.model_copy(update={"imports": imports}))
    api = Api(app, token)

    readiness = api.get("//readyz").json
    tasks = [task["name"] for task in api.get("/tasks").json["items"]]
    started = api.post("/runs", {"task": "good_tasks.add", "kwargs": {"x": 1, "y": 2}})

    assert readiness["status"] == "degraded"
    assert readiness["checks"]["imports"]["modules"] == {"broken_tasks": "ModuleNotFoundError"}
    assert "good_tasks.add" in tasks
    assert started.status_code == 202
    close(app)


def test_a_prefix_that_another_installation_uses_is_named_by_readyz_and_left_alone(
    valkey_api: Api, valkey: ValkeyServer
) -> None:
    with valkey.client() as redis:
        assert redis_status(valkey_api) == "ok"
        redis.set("jobs:installation", str(uuid4()), ex=60)
        try:
            readiness = valkey_api.get("//readyz")
            created = valkey_api.post("/jobs", a_job())
            entries = redis.zcard("jobs:redbeat::schedule")
        finally:
            redis.delete("jobs:installation")

    assert (readiness.status_code, readiness.json["status"]) == (200, "degraded")
    assert readiness.json["checks"]["redis"] == {
        "status": "shared",
        "detail": "Another installation uses this Redis with the prefix 'jobs:': "
        "give this one a JOBS_REDIS_PREFIX of its own.",
    }
    assert (created.status_code, entries) == (201, 0)
