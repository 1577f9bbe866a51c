"""The task `celery` has a plain Celery worker do the work, which knows nothing of jobs-app."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis

from jobs_app.core.states import CancelMode
from jobs_app.tasks import celery_waiting, registry
from jobs_app.tasks.builtin import celery as module
from jobs_app.tasks.builtin.celery import CeleryResult, celery
from jobs_app.tasks.celery_client import CeleryClient
from jobs_app.tasks.celery_message import task_id
from jobs_app.tasks.context import (
    Cancelled,
    CeleryFailed,
    Fenced,
    RunContext,
    TimedOut,
    current_run,
)
from tests.factories import TASKS
from tests.running import Output, Reports, a_run
from tests.servers import ValkeyServer, wait_until
from tests.tasks.builtin.shop_worker import running_shop

RUN_ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@dataclass(frozen=True)
class Shop:
    """The servers of a plain Celery, with a worker of two processes."""

    broker: str
    results: str
    log: Path

    def client(self) -> "redis.Redis":
        return redis.Redis.from_url(self.broker)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    directory = tmp_path_factory.mktemp("shop")
    with closing(ValkeyServer(tcp=True)) as server:
        server.start()
        base = server.url.partition("?")[0].rstrip("/").removesuffix("/0")
        broker, results = f"{base}/0", f"{base}/1"
        with running_shop(directory, broker=broker, results=results) as log:
            yield Shop(broker, results, log)


@pytest.fixture(autouse=True)
def _allows_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBS_CELERY_ALLOW", "127.0.0.1, localhost")


def call(shop: Shop, task: str, context: RunContext | None = None, **given: Any) -> CeleryResult:
    arguments = {"broker": shop.broker, "result_backend": shop.results, **given}
    token = current_run.set(context or a_run())
    try:
        return celery.run(task=task, **arguments)
    finally:
        current_run.reset(token)


def test_the_result_of_a_task_is_that_of_the_run(shop):
    output = Output()

    result = call(shop, "shop.add", a_run(output, run_id=RUN_ID), args=[1], kwargs={"y": 2})

    assert (result["state"], result["result"], result["id"]) == ("SUCCESS", 3, str(RUN_ID))
    assert (result["task"], result["queue"]) == ("shop.add", "celery")
    assert 0 < result["duration_seconds"] < 10
    assert "shop.add sent to the queue 'celery' of 127.0.0.1:" in output.out


def test_a_result_that_the_task_would_ignore_is_waited_for(shop):
    assert call(shop, "shop.forgetful")["result"] == "kept"


def test_a_result_comes_in_a_queue_of_the_broker_which_is_gone_afterwards(shop):
    before = keys(shop)

    result = call(shop, "shop.add_by_rpc", args=[1], kwargs={"y": 5}, result_backend="rpc://")
    with pytest.raises(CeleryFailed, match=r"fail_by_rpc failed: KeyError: gone"):
        call(shop, "shop.fail_by_rpc", result_backend="rpc://")

    assert (result["state"], result["result"]) == ("SUCCESS", 6)
    assert not [key for key in keys(shop) - before if "jobs-app" in key]


def keys(shop: Shop) -> set[str]:
    with shop.client() as client:
        return {key.decode() for key in client.scan_iter()}


def test_without_a_result_backend_the_run_ends_when_the_broker_has_the_message(shop, tmp_path):
    output = Output()
    (tmp_path / "gate").touch()

    result = call(
        shop,
        "shop.work",
        a_run(output),
        kwargs={"directory": str(tmp_path)},
        result_backend=None,
    )

    assert (result["state"], result["result"]) == ("SENT", None)
    assert "No result_backend is given: the run does not wait for the task." in output.out
    wait_until((tmp_path / "ended").exists, "the task has run")


def test_an_error_of_the_task_fails_the_run_with_its_traceback_in_the_log(shop):
    output = Output()

    with pytest.raises(CeleryFailed, match=r"^shop.fail failed: ValueError: boom, 7\.$"):
        call(shop, "shop.fail", a_run(output), args=["boom"])

    assert "raise ValueError(text, 7)" in output.err


def test_the_worker_gets_limits_ids_and_arguments_for_people(shop):
    context = a_run(run_id=RUN_ID, attempt=2, soft_time_limit_seconds=40, time_limit_seconds=50)

    request = call(shop, "shop.request_of", context, priority=3)["result"]

    assert isinstance(request, dict)
    assert request["root_id"] == str(RUN_ID)
    # A result of the first attempt is not that of the second.
    assert request["id"] not in (None, str(RUN_ID))
    assert (request["timelimit"], request["retries"]) == ([50, 40], 0)
    assert (request["queue"], request["priority"]) == ("celery", 3)
    assert (request["argsrepr"], request["kwargsrepr"]) == ("()", "{}")
    assert request["expires"] is not None
    assert request["jobs_app"] is False


def test_states_that_the_task_sets_are_the_progress_of_the_run(shop, tmp_path):
    reports: list[Any] = []

    class Sink:
        def report(self, *report: Any) -> None:
            reports.append(report)
            (tmp_path / "gate").touch()

    result = call(shop, "shop.in_steps", a_run(progress=Sink()), args=[str(tmp_path)])

    assert result["result"] == "worked"
    meta = {"current": 1, "total": 4, "status": "counting"}
    assert reports == [(0.25, "counting", meta)]


def cancelled_once(is_time: Callable[[], bool], mode: CancelMode | None) -> Any:
    """Return an `is_cancelled` that cancels the run as soon as *is_time* says so."""
    return lambda: mode if is_time() else None


@pytest.mark.parametrize(
    "mode, terminate, goes_on",
    [
        (CancelMode.GRACEFUL, False, True),
        (CancelMode.GRACEFUL, True, False),
        (CancelMode.KILL, False, False),
    ],
)
def test_a_cancel_revokes_and_ends_a_task_that_has_begun_only_if_asked(
    shop, tmp_path, mode, terminate, goes_on
):
    output = Output()
    context = a_run(output, is_cancelled=cancelled_once((tmp_path / "begun").exists, mode))

    with pytest.raises(Cancelled):
        call(shop, "shop.work", context, kwargs={"directory": str(tmp_path)}, terminate=terminate)

    assert "shop.work revoked, " in output.out
    if goes_on:
        (tmp_path / "gate").touch()
        wait_until((tmp_path / "ended").exists, "the task ends by itself")
    else:
        assert "REVOKED" in shop_state(shop, str(context.run_id))
        (tmp_path / "gate").touch()
        call(shop, "shop.add", args=[1])
        assert not (tmp_path / "ended").exists()


def shop_state(shop: Shop, task_id: str) -> str:
    with redis.Redis.from_url(shop.results) as client:
        key = f"celery-task-meta-{task_id}"
        wait_until(lambda: client.exists(key), "the worker has stored the end of the task")
        return str(client.get(key))


def test_a_task_that_nobody_has_begun_is_dropped_by_a_cancel(shop, tmp_path):
    output = Output()
    was_sent = cancelled_once(lambda: "sent to the queue" in output.out, CancelMode.GRACEFUL)
    context = a_run(output, is_cancelled=was_sent)
    folders = [tmp_path / name for name in ("one", "two", "later")]
    for folder in folders:
        folder.mkdir()
    for folder in folders[:2]:
        call(shop, "shop.work", kwargs={"directory": str(folder)}, result_backend=None)
        wait_until((folder / "begun").exists, "a process of the worker is busy")

    with pytest.raises(Cancelled):
        call(shop, "shop.work", context, kwargs={"directory": str(folders[2])})

    assert "REVOKED" in shop_state(shop, str(context.run_id))
    for folder in folders[:2]:
        (folder / "gate").touch()
    call(shop, "shop.add", args=[1])
    assert not (folders[2] / "begun").exists()


@pytest.mark.parametrize(
    "limits", [{"time_limit_seconds": 0.6}, {"soft_time_limit_seconds": 0.6}], ids=["hard", "soft"]
)
def test_a_time_limit_ends_the_wait_for_a_queue_that_nobody_consumes(shop, limits):
    started = time.monotonic()

    with pytest.raises(TimedOut):
        call(shop, "shop.add", a_run(**limits), args=[1], queue="nobodys")

    assert 0.6 <= time.monotonic() - started < 5
    with shop.client() as client:
        assert client.llen("nobodys") >= 1


def test_a_worker_without_a_lease_revokes_and_stops(shop):
    output = Output()

    with pytest.raises(Fenced):
        call(shop, "shop.add", a_run(output, lease_seconds_left=lambda: 0.0), queue="nobodys")

    assert "shop.add revoked" in output.out


class Kept:
    """What the attempts of one run keep; the worker of each is lost as soon as they keep it."""

    def __init__(self, is_lost: bool = True) -> None:
        self.sent: dict[str, Any] | None = None
        self._is_lost = is_lost

    def before(self) -> tuple[dict[str, Any] | None, bool]:
        return self.sent, self._is_lost

    def keep(self, sent: dict[str, Any]) -> None:
        self.sent = sent

    def is_handed_on(self) -> bool:
        return self.sent is not None


@pytest.mark.parametrize(
    "task, backend", [("shop.work", None), ("shop.work_by_rpc", "rpc://")], ids=["redis", "rpc"]
)
def test_a_task_whose_run_lost_its_worker_is_waited_for_and_not_sent_again(
    shop, tmp_path, task, backend
):
    kept, first, second = Kept(), Output(), Output()
    servers = {} if backend is None else {"result_backend": backend}

    def lease() -> float:
        return 0.0 if kept.sent and (tmp_path / "begun").exists() else 20.0

    context = a_run(first, run_id=uuid4(), lease_seconds_left=lease, sent_task=kept)
    with pytest.raises(Fenced):
        call(shop, task, context, kwargs={"directory": str(tmp_path)}, **servers)
    assert f"{task} goes on: the next attempt waits for it" in first.out
    assert kept.sent == {
        "id": str(context.run_id),
        "task": task,
        "queue": "celery",
        "state": "SENT",
    }
    (tmp_path / "gate").touch()
    wait_until((tmp_path / "ended").exists, "the task ends while nobody waits")

    again = a_run(second, run_id=context.run_id, attempt=2, sent_task=kept)
    result = call(shop, task, again, kwargs={"directory": str(tmp_path)}, **servers)

    assert (result["id"], result["result"]) == (str(context.run_id), "worked")
    assert "sent to the queue" not in second.out
    call(shop, "shop.add", args=[1])
    assert shop.log.read_text().count(f"{task}[{context.run_id}] received") == 1


def test_a_task_that_somebody_revoked_fails_the_run(shop):
    with redis.Redis.from_url(shop.results) as client:
        error = '{"exc_type": "TaskRevokedError", "exc_message": ["x"]}'
        meta = f'{{"status": "REVOKED", "result": {error}}}'
        client.set(f"celery-task-meta-{RUN_ID}", meta)
        try:
            with pytest.raises(CeleryFailed, match=r"was revoked \(TaskRevokedError: x"):
                call(shop, "shop.add", a_run(run_id=RUN_ID), queue="nobodys")
        finally:
            client.delete(f"celery-task-meta-{RUN_ID}")


def test_a_result_that_is_no_json_is_an_error_that_says_so(shop):
    with redis.Redis.from_url(shop.results) as client:
        client.set(f"celery-task-meta-{RUN_ID}", b"\x80\x05K\x01.")
        try:
            with pytest.raises(CeleryFailed, match="result_serializer"):
                call(shop, "shop.add", a_run(run_id=RUN_ID), queue="nobodys")
        finally:
            client.delete(f"celery-task-meta-{RUN_ID}")


def test_an_outage_of_the_result_backend_is_waited_for_up_to_a_limit(shop, monkeypatch):
    monkeypatch.setattr(module, "OUTAGE_SECONDS", 0.5)
    started = time.monotonic()

    with pytest.raises(CeleryFailed, match="does not answer"):
        call(shop, "shop.add", args=[1], result_backend="redis://127.0.0.1:1/0")

    assert 0.5 <= time.monotonic() - started < 10


def test_a_broker_that_is_away_fails_the_run_and_nothing_was_sent(shop):
    with pytest.raises(CeleryFailed, match=r"127\.0\.0\.1:1 does not answer") as failure:
        call(shop, "shop.add", broker="redis://127.0.0.1:1/0")

    assert failure.value.may_pass


def test_a_library_that_gives_up_by_itself_fails_the_run(shop, monkeypatch):
    def give_up(*_: object) -> None:
        raise TimeoutError("nobody answers")

    monkeypatch.setattr(CeleryClient, "send", give_up)

    with pytest.raises(TimeoutError, match="nobody answers"):
        call(shop, "shop.add")


def test_a_wrong_password_is_named_and_not_shown(shop):
    address = shop.broker.rpartition("@")[2]

    with pytest.raises(CeleryFailed, match="does not answer") as failure:
        call(shop, "shop.add", broker=f"redis://:hunter2hunter2@{address}")

    assert "hunter2" not in failure.value.detail


def test_a_private_broker_is_called_only_if_its_own_setting_allows_it(shop, monkeypatch):
    monkeypatch.delenv("JOBS_CELERY_ALLOW")
    monkeypatch.setenv("JOBS_HTTP_ALLOW", "127.0.0.1")

    with pytest.raises(CeleryFailed, match="allowed only by JOBS_CELERY_ALLOW"):
        call(shop, "shop.add", args=[1])


def test_the_redis_of_jobs_app_itself_needs_its_port_in_the_setting(shop, monkeypatch):
    monkeypatch.setenv("JOBS_REDIS_URL", shop.broker)
    with pytest.raises(CeleryFailed, match="jobs-app's own server of JOBS_REDIS_URL"):
        call(shop, "shop.add", args=[1])

    port = shop.broker.rpartition(":")[2].partition("/")[0]
    monkeypatch.setenv("JOBS_CELERY_ALLOW", f"127.0.0.1:{port}")

    assert call(shop, "shop.add", args=[1])["result"] == 1


@pytest.mark.parametrize(
    "name, url",
    [
        ("broker", "filesystem:///tmp"),
        ("broker", "sqla+sqlite:////tmp/x.db"),
        ("broker", "http://127.0.0.1/"),
        ("result_backend", "amqp://127.0.0.1//"),
        ("result_backend", "db+sqlite:////tmp/x.db"),
    ],
)
def test_other_kinds_of_servers_are_refused_without_their_url(shop, name, url):
    with pytest.raises(CeleryFailed, match=f"The URL of {name} cannot be used") as failure:
        call(shop, "shop.add", **{name: url})

    assert url not in failure.value.detail


def faults(**kwargs: Any) -> list[tuple[str, str]]:
    arguments = {"broker": "${secret:shop}", "task": "shop.add", **kwargs}
    return [(fault.pointer, fault.code) for fault in registry.check(TASKS, "celery", arguments)]


@pytest.mark.parametrize(
    "kwargs, expected",
    [
        ({}, []),
        ({"result_backend": "rpc://"}, []),
        ({"broker": "rpc://"}, [("/kwargs/broker", "not_a_secret")]),
        ({"result_backend": "${secret:shop-results}", "args": [1], "kwargs": {"y": None}}, []),
        ({"broker": "redis://127.0.0.1/0"}, [("/kwargs/broker", "not_a_secret")]),
        ({"broker": "redis://${secret:shop}/0"}, [("/kwargs/broker", "not_a_secret")]),
        ({"broker": "${secret:}"}, [("/kwargs/broker", "not_a_secret")]),
        ({"result_backend": "redis://h"}, [("/kwargs/result_backend", "not_a_secret")]),
        ({"queue": ""}, [("/kwargs/queue", "bad_name")]),
        ({"task": "a\nb"}, [("/kwargs/task", "bad_name")]),
        ({"priority": -1}, [("/kwargs/priority", "too_small")]),
        ({"args": {"x": 1}}, [("/kwargs/args", "wrong_type")]),
    ],
)
def test_arguments_are_checked_at_save_and_servers_are_secrets(kwargs, expected):
    assert faults(**kwargs) == expected


def test_a_job_that_does_not_wait_for_its_task_has_a_warning():
    plain = {"broker": "${secret:shop}", "task": "shop.add"}

    (warning,) = registry.argument_warnings(TASKS, "celery", plain)

    assert warning.startswith("There is no result_backend")
    waiting = {**plain, "result_backend": "${secret:results}"}
    assert registry.argument_warnings(TASKS, "celery", waiting) == []


def test_a_message_that_nobody_takes_is_named_once_in_the_log_and_is_the_progress(
    shop, monkeypatch
):
    monkeypatch.setattr(celery_waiting, "UNTAKEN_SECONDS", 0.2)
    output, reports = Output(), Reports()
    context = a_run(output, time_limit_seconds=1.0, progress=reports)

    with pytest.raises(TimedOut):
        call(shop, "shop.add", context, args=[1], queue="nobodys", priority=3)

    assert output.out.count("nobody has taken the message from the queue 'nobodys' yet") == 1
    assert reports.messages == ["nobody has taken the message from the queue 'nobodys' yet"]


def test_a_long_wait_for_a_task_that_was_taken_is_named_in_the_log(shop, tmp_path, monkeypatch):
    monkeypatch.setattr(celery_waiting, "UNTAKEN_SECONDS", 0.2)
    monkeypatch.setattr(celery_waiting, "LONG_SECONDS", 0.2)
    output, reports = Output(), Reports()
    context = a_run(output, time_limit_seconds=1.0, progress=reports, attempt=2)

    with pytest.raises(TimedOut):
        call(shop, "shop.work", context, kwargs={"directory": str(tmp_path)}, terminate=True)

    assert "Still waiting for the result of shop.work" in output.out
    assert "nobody has taken" not in output.out
    assert reports.messages[-1] == "waiting for the result of shop.work"
    before = task_id(context.run_id, 1)
    assert f"The attempt before sent it as {before}, which may have run" in output.out
