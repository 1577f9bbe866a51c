"""What the tests of tasks share: a run to be in, and answers about processes."""

import os
import pickle
import select
import signal
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

from jobs_app.core.policies import RunLimits
from jobs_app.core.states import CancelMode
from jobs_app.tasks.context import LastLog, LogSink, ProgressSink, RunContext, SentTask, Stream
from tests.servers import wait_until

T = TypeVar("T")

#: How long a forked process may take for its answer.
ANSWER_SECONDS = 120.0


class Output:
    """A log sink that counts what it is given and keeps the first 100,000 bytes of each stream."""

    def __init__(self) -> None:
        self.kept: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
        self.size = 0

    def write(self, stream: Stream, data: bytes) -> None:
        self.size += len(data)
        self.kept[stream] += data[: 100_000 - len(self.kept[stream])]

    @property
    def out(self) -> str:
        return self.kept["stdout"].decode()

    @property
    def err(self) -> str:
        return self.kept["stderr"].decode()


class Reports:
    """Keeps the messages of the progress of a run."""

    def __init__(self) -> None:
        self.messages: list[str | None] = []

    def report(self, fraction: object, message: str | None, meta: object) -> None:
        self.messages.append(message)


def a_run(
    log: LogSink | None = None,
    *,
    run_id: UUID | None = None,
    job: str | None = "nightly-report",
    scheduled_for: datetime | None = None,
    attempt: int = 1,
    soft_time_limit_seconds: float | None = None,
    time_limit_seconds: float | None = None,
    kill_grace_seconds: float = 5.0,
    is_cancelled: Callable[[], CancelMode | None] = lambda: None,
    lease_seconds_left: Callable[[], float] = lambda: 20.0,
    progress: ProgressSink | None = None,
    last_log: Callable[[str, int], LastLog | None] = lambda _job, _limit: None,
    sent_task: SentTask | None = None,
) -> RunContext:
    """Return the context of a run that nobody disturbs, but for what is said."""
    return RunContext(
        run_id=run_id or uuid4(),
        job=job,
        scheduled_for=scheduled_for,
        attempt=attempt,
        log=log or Output(),
        # Fractions of a second keep the tests short.
        limits=RunLimits(time_limit_seconds, soft_time_limit_seconds, kill_grace_seconds),  # type: ignore[arg-type]  # as said
        is_cancelled=is_cancelled,
        lease_seconds_left=lease_seconds_left,
        progress=progress,
        last_log=last_log,
        sent_task=sent_task,
    )


def in_child(act: Callable[[], T]) -> T:
    """Return what *act* returns in a forked process, which it may change as it likes.

    Raises RuntimeError with the traceback if it raises. A process that does not answer within
    ANSWER_SECONDS is ended, and prints where it was: a fork has the locks that other threads
    held, and nobody who releases them.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _answer(act, writing)
        finally:
            # Never as a second copy of the tests.
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        is_answered = bool(poll.poll(ANSWER_SECONDS * 1000))
        if not is_answered:
            os.kill(pid, signal.SIGABRT)
        data = stream.read() if is_answered else b""
    os.waitpid(pid, 0)
    assert is_answered, f"the process has not answered within {ANSWER_SECONDS:g} s"
    assert data, "the process has ended without an answer"
    has_returned, value = pickle.loads(data)  # noqa: S301  # from our own child
    if not has_returned:
        raise RuntimeError(value)
    result: T = value
    return result


def _answer(act: Callable[[], object], writing: int) -> None:
    try:
        answer: object = (True, act())
    except BaseException:  # noqa: BLE001  # the parent raises it
        answer = (False, traceback.format_exc())
    os.write(writing, pickle.dumps(answer))


def pid_in(file: Path) -> int:
    """Return the process id that a test's command writes into *file*, once it is there."""
    wait_until(lambda: file.exists() and file.read_text().endswith("\n"), f"{file} is written")
    return int(file.read_text())
