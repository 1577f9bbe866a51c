"""`jobs-app import redbeat`, against the real API and a real Redis."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis
from click.testing import Result

from tests.servers import ValkeyServer

Run = Callable[..., Result]

ENTRIES: dict[str, Any] = {
    "Nightly": {
        "task": "sleep",
        "args": [5],
        "schedule": {"__type__": "crontab", "minute": 30, "hour": 2},
        "enabled": True,
    },
    "often": {
        "task": "sleep",
        "kwargs": {"duration": 1},
        "schedule": {"__type__": "interval", "every": 60, "relative": False},
        "enabled": False,
    },
    "rule": {"task": "sleep", "schedule": {"__type__": "rrule", "freq": 3}},
}

pytestmark = pytest.mark.usefixtures("installation")


@pytest.fixture
def prefix(valkey: ValkeyServer) -> Iterator[str]:
    prefix = f"{uuid4()}:"
    with redis.Redis.from_url(valkey.url) as client:
        for number, (name, definition) in enumerate(ENTRIES.items()):
            client.hset(f"{prefix}{name}", mapping={"definition": json.dumps(definition)})
            client.zadd(f"{prefix}:schedule", {f"{prefix}{name}": number})
        yield prefix
        client.delete(f"{prefix}:schedule", *(f"{prefix}{name}" for name in ENTRIES))


def jobs(run: Run) -> dict[str, Any]:
    items = json.loads(run("job", "list", "--all", "--json").stdout)["items"]
    return {item["name"]: item for item in items}


def test_entries_become_jobs_and_a_second_import_changes_nothing(
    run: Run, valkey: ValkeyServer, prefix: str
) -> None:
    options = ("--key-prefix", prefix, "--timezone", "Europe/Paris", "--yes")
    first = run("import", "redbeat", valkey.url, *options)
    before = jobs(run)
    second = run("import", "redbeat", "-", *options, stdin=f"{valkey.url}\n")

    assert "Created 2 jobs, changed 0, kept 0. 1 entry was refused." in first.stdout
    assert "Created 0 jobs, changed 0, kept 2." in second.stdout
    assert before == jobs(run)
    nightly = before["nightly"]
    assert (nightly["schedule"]["cron"], nightly["schedule"]["timezone"]) == (
        "30 2 * * *",
        "Europe/Paris",
    )
    assert (nightly["state"], before["often"]["state"]) == ("active", "paused")
    assert "it is out of use there" in first.stdout
    assert "Crontabs are read in Europe/Paris, as --timezone says." in first.stdout


def test_entries_can_be_sent_to_the_workers_that_have_their_tasks(
    run: Run, valkey: ValkeyServer, prefix: str
) -> None:
    run("secret", "set", "shop-broker", "--from", "-", stdin="redis://redis.example/0")
    task = {**ENTRIES["Nightly"], "task": "shop.sales"}
    with redis.Redis.from_url(valkey.url) as client:
        client.hset(f"{prefix}Nightly", mapping={"definition": json.dumps(task)})
    options = ("--key-prefix", prefix, "--yes")

    refused = run("import", "redbeat", valkey.url, *options)
    sent = run("import", "redbeat", valkey.url, *options, "--send-to", "shop-broker")

    assert "REFUSED: The server has no task 'shop.sales'" in refused.stdout
    assert "--send-to SECRET" in refused.stdout
    assert "Created 1 job, changed 1" in sent.stdout
    assert "sent to the queue celery" in sent.stdout
    assert "sent to the queue celery" not in refused.stdout
    assert jobs(run)["nightly"]["kwargs"] == {
        "broker": "${secret:shop-broker}",
        "task": "shop.sales",
        "args": [5],
    }


def test_no_password_is_printed_or_kept(run: Run, valkey: ValkeyServer, prefix: str) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.execute_command(
            "ACL", "SETUSER", "reader", "on", ">hunter2", "~*", "+@read", "+info"
        )
        try:
            path = client.get_connection_kwargs()["path"]
            url = f"unix://reader:hunter2@{path}"
            result = run("import", "redbeat", url, "--key-prefix", prefix, "--yes", "--json")
            wrong = run("import", "redbeat", url.replace("hunter2", "swordfish"), "--yes")
        finally:
            client.execute_command("ACL", "DELUSER", "reader")

    assert jobs(run)["nightly"]["origin"] == f"redbeat {path} {prefix}"
    assert "hunter2" not in result.output + json.dumps(jobs(run))
    assert wrong.exit_code == 6
    assert "swordfish" not in wrong.output


@pytest.mark.parametrize(
    "url", ["http://cache", "redis://:pass/word@cache", "cache", "redis://a:b"]
)
def test_an_address_that_is_none_is_refused_without_its_text(run: Run, url: str) -> None:
    result = run("import", "redbeat", url)

    assert result.exit_code == 2
    assert "redis://HOST:PORT/DB" in result.stderr
    assert "word" not in result.stderr


def test_a_redis_without_entries_is_named(run: Run, valkey: ValkeyServer) -> None:
    result = run("import", "redbeat", valkey.url, "--key-prefix", "nobody:")

    assert result.exit_code == 1
    assert "has no entry with the prefix 'nobody:'" in result.stderr


def test_the_prefix_of_redbeat_is_another_option(run: Run, valkey: ValkeyServer) -> None:
    result = run("import", "redbeat", valkey.url, "--prefix", "redbeat:")

    assert result.exit_code == 2
    assert "--key-prefix" in result.stderr
