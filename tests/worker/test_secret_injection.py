"""Secrets reach the task and nothing else: what is stored of the run refers to them."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from celery import Task, shared_task
from cryptography.fernet import Fernet
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from jobs_app.core import clock
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.engine import Database
from jobs_app.db.models.runs import LogChunk
from jobs_app.db.models.secrets import Secret
from jobs_app.runs.claim import ClaimedRun
from jobs_app.runs.due_retries import queue_due_retries
from jobs_app.runs.outcome import Outcome
from jobs_app.secrets import rotation
from jobs_app.secrets import store as secrets_store
from jobs_app.secrets.encryption import Cipher
from jobs_app.tasks.context import current_run
from jobs_app.worker import execution, outcomes, secret_injection
from jobs_app.worker.pool_process import Process
from tests.factories import DAY, NOON, make_job, make_run, run
from tests.worker.conftest import process_without_worker

KEY = Fernet.generate_key().decode()
VALUE = "hunter2-hunter2"

WorkOn = Callable[..., None]


class Seen:
    """What the task was called with, in this process."""

    calls: list[dict[str, Any]] = []


@shared_task(name="tests.sees", bind=True, max_retries=None)
def sees(self: Task[Any, Any], /, do: str = "return", **kwargs: Any) -> Any:
    """Note the arguments, and do what is asked with them."""
    Seen.calls.append({"request": dict(self.request.kwargs or {}), **kwargs})
    if do == "raise":
        # Long: of its traceback only the end is kept.
        raise ValueError(f"{'x' * 40_000} {kwargs['token']}")
    if do == "raise at the cut":
        raise ValueError(kwargs["token"] + "y" * (outcomes.TRACEBACK_CHARS - 8))
    if do == "retry":
        token = kwargs["token"]
        raise self.retry(
            countdown=0,
            kwargs={"do": "return", "token": token, "more": [f"<{token}>"], "n": 7},
        )
    if do == "print":
        print(kwargs["token"][:5], end="")
        print(kwargs["token"][5:])
    if do == "print from a thread":
        thread = threading.Thread(target=print, args=(kwargs["token"],))
        thread.start()
        thread.join()
    if do == "mask":
        return current_run.get().mask({"at": kwargs["token"]})
    return kwargs.get("answer", kwargs)


@pytest.fixture
def process(database: Database, database_url: str, tmp_path: Path) -> Iterator[Process]:
    """The surroundings of runs in this very process, with the key of the secrets."""
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        redis_url="redis://127.0.0.1:1/0",
        secret_key=KEY,
        result_limit_bytes=4000,
    )
    with process_without_worker(database, settings) as process:
        Seen.calls = []
        yield process


def store(database: Database, name: str = "TOKEN", value: str = VALUE, key: str = KEY) -> None:
    with database.session() as session:
        secrets_store.put(
            session,
            name,
            value=value,
            description=None,
            version=None,
            cipher=Cipher(key),
            by="tester",
            at=NOON,
        )


def start(database: Database, **kwargs: Any) -> UUID:
    return make_run(database, task="tests.sees", kwargs=kwargs)


def test_the_task_is_given_the_value_and_the_row_keeps_the_reference(
    database: Database, work_on: WorkOn
) -> None:
    store(database)
    given = {"headers": {"a": ["Bearer ${secret:TOKEN}"]}, "text": "${secret:}", "n": 1}

    run_id = start(database, **given)
    work_on(run_id)

    called = {"headers": {"a": [f"Bearer {VALUE}"]}, "text": "${secret:", "n": 1}
    assert Seen.calls == [{"request": called, **called}]
    ended = run(database, run_id)
    assert ended.kwargs == given
    assert ended.result == {"headers": {"a": ["Bearer ***"]}, "text": "${secret:", "n": 1}


def test_a_run_without_secrets_keeps_what_it_returns(database: Database, work_on: WorkOn) -> None:
    store(database)

    run_id = start(database, answer=VALUE)
    work_on(run_id)

    assert run(database, run_id).result == VALUE


def test_the_use_of_a_secret_is_noted(database: Database, work_on: WorkOn) -> None:
    store(database)

    work_on(start(database, token="${secret:TOKEN}"))

    with database.reading() as session:
        secret = session.scalars(select(Secret)).one()
        assert secret.last_used_at is not None
        assert secret.version == 1


def test_a_missing_secret_fails_the_run_before_the_task_is_called(
    database: Database, work_on: WorkOn
) -> None:
    store(database)

    run_id = start(database, token="${secret:TOKEN}", other="${secret:OTHER}")
    work_on(run_id)

    failed = run(database, run_id)
    assert Seen.calls == []
    assert failed.state is RunState.FAILED
    assert failed.error is not None
    assert failed.error["type"] == "SecretUnavailable"
    assert "There is no secret 'OTHER'" in failed.error["message"]
    assert failed.error["traceback"] is None


def test_a_worker_with_another_key_fails_the_run_and_says_what_to_do(
    database: Database, work_on: WorkOn
) -> None:
    store(database, key=Fernet.generate_key().decode())

    run_id = start(database, token="${secret:TOKEN}")
    work_on(run_id)

    failed = run(database, run_id)
    assert Seen.calls == []
    assert failed.error is not None
    assert "same JOBS_SECRET_KEY" in failed.error["message"]


def test_an_error_is_masked_before_it_is_cut(database: Database, work_on: WorkOn) -> None:
    store(database)

    runs_ = [
        start(database, do=do, token="${secret:TOKEN}") for do in ("raise", "raise at the cut")
    ]
    for run_id in runs_:
        work_on(run_id)

    for run_id in runs_:
        error = run(database, run_id).error
        assert error is not None
        assert "***" in error["message"]
        assert "unter2" not in error["message"] + error["traceback"]
        assert len(error["traceback"]) <= outcomes.TRACEBACK_CHARS


def test_a_result_is_masked_before_it_is_cut(database: Database, work_on: WorkOn) -> None:
    store(database)
    filled = "z" * (1024 - 8)

    run_id = start(database, answer=filled + "${secret:TOKEN}" + "z" * 4000)
    work_on(run_id)

    result = run(database, run_id).result
    assert result["truncated"] is True
    assert "hunter" not in result["head"]


def test_a_retry_refers_to_the_secret_again_and_the_next_attempt_is_given_it(
    database: Database, work_on: WorkOn
) -> None:
    store(database)

    run_id = start(database, do="retry", token="${secret:TOKEN}")
    work_on(run_id)
    retrying = run(database, run_id)
    with database.session() as session:
        queue_due_retries(session, at=NOON + 365 * DAY)
    work_on(run_id, 2)

    assert retrying.state is RunState.RETRYING
    assert retrying.kwargs == {
        "do": "return",
        "token": "${secret:TOKEN}",
        "more": ["<${secret:TOKEN}>"],
        "n": 7,
    }
    assert run(database, run_id).state is RunState.SUCCEEDED
    assert Seen.calls[-1]["more"] == [f"<{VALUE}>"]


def test_what_a_task_prints_is_masked_also_in_pieces(database: Database, work_on: WorkOn) -> None:
    store(database)

    work_on(start(database, do="print", token="${secret:TOKEN}"))

    with database.reading() as session:
        assert "".join(session.scalars(select(LogChunk.text))) == "***\n"


def test_what_a_thread_of_a_task_prints_stays_with_the_worker_masked(
    database: Database, work_on: WorkOn, capsys: pytest.CaptureFixture[str]
) -> None:
    store(database)

    work_on(start(database, do="print from a thread", token="${secret:TOKEN}"))

    assert capsys.readouterr().out == "***\n"


def test_what_a_task_stores_while_it_runs_can_be_masked(
    database: Database, work_on: WorkOn
) -> None:
    store(database)

    run_id = start(database, do="mask", token="${secret:TOKEN}")
    work_on(run_id)

    assert run(database, run_id).result == {"at": "***"}


def test_secrets_are_read_as_soon_as_the_database_is_back(
    database: Database, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database)
    claimed = _claimed(process, start(database, token="${secret:TOKEN}"))
    reading, refusals = process.database.reading, iter([True, True])

    def reading_or_not() -> Any:
        if next(refusals, False):
            raise OperationalError("SELECT", None, ConnectionError())
        return reading()

    monkeypatch.setattr(secret_injection, "RETRY_DATABASE_SECONDS", 0)
    monkeypatch.setattr(process.database, "reading", reading_or_not)

    assert secret_injection.inject(process, claimed).kwargs == {"token": VALUE}


def test_a_key_that_is_rotated_and_dropped_while_a_run_begins_fails_nothing(
    database: Database, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(database)
    claimed = _claimed(process, start(database, token="${secret:TOKEN}"))
    new = Fernet.generate_key().decode()
    read = secrets_store.find_all

    def read_and_rotate(session: Any, names: Any) -> Any:
        found = read(session, names)
        if process.settings.secret_key == KEY:
            rotation.reencrypt(database, Cipher(f"{new},{KEY}"), by="tester", at=NOON)
            process.settings = process.settings.model_copy(update={"secret_key": new})
        return found

    monkeypatch.setattr(secrets_store, "find_all", read_and_rotate)

    assert secret_injection.inject(process, claimed).kwargs == {"token": VALUE}


def test_a_use_that_cannot_be_noted_keeps_nothing_from_running(
    database: Database, work_on: WorkOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(*_: object, **__: object) -> None:
        raise OperationalError("UPDATE", None, OSError())

    store(database)
    monkeypatch.setattr(secrets_store, "mark_used", disk_full)

    run_id = start(database, token="${secret:TOKEN}")
    work_on(run_id)

    assert run(database, run_id).state is RunState.SUCCEEDED


def _claimed(process: Process, run_id: UUID) -> ClaimedRun:
    claimed = execution._claim(process, run_id, 1, at=clock.now())
    assert claimed is not None
    return claimed


def _of_job(database: Database, process: Process, tags: list[str], **kwargs: Any) -> ClaimedRun:
    kwargs = {"command": "true"} | kwargs
    job = make_job(database, task="shell", kwargs=kwargs, tags=tuple(tags))
    return _claimed(process, make_run(database, job))


def test_a_command_has_the_variables_of_files_below_its_own(
    database: Database, process: Process, tmp_path: Path
) -> None:
    (tmp_path / "all").write_text("A=1\nB=1\nTOKEN=${secret:TOKEN}\n")
    (tmp_path / "web").write_text("B=2\nC=2\n")
    files = f"{tmp_path}/all,web={tmp_path}/web"
    process.settings = process.settings.model_copy(update={"env_files": files})
    store(database)

    runs = [
        _of_job(database, process, ["web"], env={"C": "own"}),
        _of_job(database, process, []),
        _claimed(process, make_run(database, task="shell", kwargs={"command": "true"})),
    ]
    injections = [secret_injection.inject(process, claimed) for claimed in runs]

    assert [injection.kwargs["env"] for injection in injections] == [
        {"A": "1", "B": "2", "C": "own", "TOKEN": VALUE},
        {"A": "1", "B": "1", "TOKEN": VALUE},
        {"A": "1", "B": "1", "TOKEN": VALUE},
    ]
    assert injections[0].mask.json(VALUE) == "***"
    assert "TOKEN" not in runs[0].kwargs["env"]


def test_files_give_variables_to_commands_only(
    database: Database, process: Process, tmp_path: Path
) -> None:
    (tmp_path / "all").write_text("A=1\n")
    process.settings = process.settings.model_copy(update={"env_files": str(tmp_path / "all")})

    injected = secret_injection.inject(process, _claimed(process, start(database, n=1)))

    assert injected.kwargs == {"n": 1}


def test_a_file_of_variables_that_cannot_be_used_fails_the_run(
    database: Database, process: Process, work_on: WorkOn, tmp_path: Path
) -> None:
    process.settings = process.settings.model_copy(update={"env_files": str(tmp_path / "none")})
    run_id = make_run(database, task="shell", kwargs={"command": "true"})

    work_on(run_id)

    ended = run(database, run_id)
    assert ended.state is RunState.FAILED
    assert "none cannot be read: No such file or directory. So nothing was started." in str(
        ended.error
    )


def test_what_is_shown_of_an_injection_has_no_value(database: Database, process: Process) -> None:
    store(database)
    claimed = _claimed(process, start(database, token="${secret:TOKEN}"))

    injected = secret_injection.inject(process, claimed)

    assert VALUE not in repr(injected)
    cleaned = injected.masked(Outcome(RunState.LOST, reason=f"no {VALUE}"))
    assert cleaned.reason == "no ***"


def test_runs_side_by_side_are_masked_each_with_its_own_secrets(
    database: Database, work_on: WorkOn
) -> None:
    store(database)
    store(database, "OTHER", "0ther-0ther")

    ids = [start(database, token=f"${{secret:{n}}}", answer=VALUE) for n in ("TOKEN", "OTHER")]
    threads = [threading.Thread(target=work_on, args=(run_id,)) for run_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [run(database, run_id).result for run_id in ids] == ["***", VALUE]
