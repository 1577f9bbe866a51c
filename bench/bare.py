"""The bare limit of a burst: its rows by COPY, and its messages by one LPUSH."""

import json
import time
import uuid
from datetime import UTC, datetime

import psycopg
from redis import Redis

from bench.servers import Servers
from jobs_app.celery_app import make_celery
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.jobs import Job
from jobs_app.runs.messages import Message, publish

COLUMNS = (
    *("id", "job_id", "scheduled_for", "state", "trigger", "fires", "task", "kwargs", "queue"),
    *("priority", "kill_grace_seconds", "retry", "max_attempts", "is_exclusive", "attempt"),
    *("send_at", "sends", "created_at", "queued_at", "log_bytes", "log_truncated"),
)


def seconds(servers: Servers, count: int) -> float:
    """Return the seconds for *count* rows and messages, without planning, locks or next fires."""
    servers.valkey.flushall()
    settings = Settings(redis_url=servers.valkey.url, redis_prefix="jobs:")
    publish(make_celery(settings), [Message(uuid.uuid4(), 1, "shell", "default")])
    key = "jobs:default\x06\x163"
    with servers.database("postgresql") as url, Redis.from_url(servers.valkey.url) as client:
        popped = client.rpop(key)
        assert isinstance(popped, bytes)
        sample = json.loads(popped)
        job_ids = _jobs(url, count)
        at = datetime.now(UTC)
        started = time.perf_counter()
        ids = [str(uuid.uuid4()) for _ in range(count)]
        _copy(url, ids, job_ids, at)
        template = json.dumps(sample).replace(sample["headers"]["id"], "%s")
        slots = template.count("%s")
        client.lpush(key, *[template % ((run_id,) * slots) for run_id in ids])
        return time.perf_counter() - started


def _jobs(url: str, count: int) -> list[int]:
    now = datetime.now(UTC)
    database = Database(url)
    with database.session() as session:
        jobs = [
            Job(name=f"job-{number}", task="shell", created_at=now, updated_at=now)
            for number in range(count)
        ]
        session.add_all(jobs)
        session.commit()
        ids = [job.id for job in jobs]
    database.close()
    return ids


def _copy(url: str, ids: list[str], job_ids: list[int], at: datetime) -> None:
    statement = f"COPY runs ({', '.join(COLUMNS)}) FROM STDIN"
    run_columns = (
        "queued",
        "schedule",
        1,
        "shell",
        '{"command": "python report.py --all"}',
        "default",
    )
    attempt_columns = (5, 10, "{}", 3, True, 1, at, 0, at, at, 0, False)
    with (
        psycopg.connect(url.replace("+psycopg", "")) as connection,
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        for run_id, job_id in zip(ids, job_ids, strict=True):
            copy.write_row((run_id, job_id, at, *run_columns, *attempt_columns))
