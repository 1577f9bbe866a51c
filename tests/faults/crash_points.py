"""Starts a process of jobs-app that kills itself (SIGKILL) at a crash point.

    python -m tests.faults.crash_points DIRECTORY WHOM STEP:NUMBER[,STEP:NUMBER…] COMMAND …

The product knows nothing of this: a function of it is wrapped. The NUMBER-th call dies
before, within or after the function; calls are counted over all processes that share
DIRECTORY. WHOM is one of:

- `self`: the process kills itself.
- `parent`: a pool process kills its worker and itself.
- `frozen`: the process stops itself (SIGSTOP).
- `waits`: it waits at that step until `Installation.freeze_at` has frozen it, and goes on
  once it is thawed.
- `forgets`: it goes on and leaves that step out.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from celery import Celery
from sqlalchemy import event
from sqlalchemy.orm import Session

from jobs_app.cli import main
from jobs_app.jobs.redbeat_entries import Projection
from jobs_app.runs import fires, outbox, rescue
from jobs_app.runs.messages import Message
from jobs_app.scheduler import beat, janitor
from jobs_app.worker import completer, execution, finish_run, runner
from jobs_app.worker.completer import Completer, FinishedRun
from jobs_app.worker.liveness import stalled_runs
from jobs_app.worker.pool_process import Process


class StepLeftOut(Exception):
    """The process goes on without this step."""


class CrashPoint:
    """The call, counted over all processes, at which a process dies."""

    def __init__(self, directory: Path, whom: str, name: str, number: int) -> None:
        self._calls = directory / name
        self._reached = directory / f"{name}.reached"
        self._released = directory / f"{name}.released"
        self._whom = whom
        self._number = number

    def hit(self) -> None:
        """Count a call, and die at the chosen one."""
        # Unbuffered: each append is atomic, so each call gets its own number.
        with self._calls.open("ab", buffering=0) as calls:
            calls.write(b".")
            is_chosen = calls.tell() == self._number
        if is_chosen:
            self._reached.touch()
            if self._whom == "waits":
                while not self._released.exists():
                    time.sleep(0.01)
                return
            if self._whom == "forgets":
                raise StepLeftOut
            if self._whom == "parent":
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGSTOP if self._whom == "frozen" else signal.SIGKILL)


Hit = Callable[[], None]


def _before(owner: Any, name: str) -> Callable[[Hit], None]:
    def wrap(hit: Hit) -> None:
        original = getattr(owner, name)

        def crashing(*args: Any, **kwargs: Any) -> Any:
            hit()
            return original(*args, **kwargs)

        setattr(owner, name, crashing)

    return wrap


def _after(owner: Any, name: str) -> Callable[[Hit], None]:
    def wrap(hit: Hit) -> None:
        original = getattr(owner, name)

        def crashing(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            # An idle call did nothing, and a crash after it would prove nothing.
            if answer is not None and answer != []:
                hit()
            return answer

        setattr(owner, name, crashing)

    return wrap


def _at_commit(when: str) -> Callable[[Hit], None]:
    """Die at the commit of recorded fires: `before_commit` or `after_commit`."""

    def wrap(hit: Hit) -> None:
        original = fires.record_due

        def crashing(session: Session, *args: Any, **kwargs: Any) -> Any:
            event.listen(session, when, lambda *_: hit())
            return original(session, *args, **kwargs)

        fires.record_due = crashing

    return wrap


def _after_statement(start: str) -> Callable[[Hit], None]:
    """Die inside the transaction, after the statement of it that begins with *start*."""

    def wrap(hit: Hit) -> None:
        original = fires.record_due

        def crashing(session: Session, *args: Any, **kwargs: Any) -> Any:
            def executed(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
                if statement.lstrip().upper().startswith(start):
                    hit()

            engine = session.get_bind()
            event.listen(engine, "after_cursor_execute", executed)
            try:
                return original(session, *args, **kwargs)
            finally:
                event.remove(engine, "after_cursor_execute", executed)

        fires.record_due = crashing

    return wrap


def _in_publish(hit: Hit) -> None:
    """Die when half of the messages are sent."""
    owner: Any = beat
    original = owner.publish

    def crashing(app: Celery, messages: Sequence[Message]) -> None:
        half = len(messages) // 2
        original(app, messages[:half])
        hit()
        original(app, messages[half:])

    owner.publish = crashing


def _around_publish(is_before: bool) -> Callable[[Hit], None]:
    def wrap(hit: Hit) -> None:
        owner: Any = beat
        original = owner.publish

        def crashing(app: Celery, messages: Sequence[Message]) -> None:
            if is_before:
                hit()
            original(app, messages)
            if not is_before:
                hit()

        owner.publish = crashing

    return wrap


def _after_scores(hit: Hit) -> None:
    original = Projection.write_scores

    def crashing(self: Projection, due: Any) -> None:
        original(self, due)
        hit()

    # The wrapper takes the place of the method.
    Projection.write_scores = crashing  # type: ignore[method-assign]


#: The steps of a tick, in their order: a scheduler may die at each of them.
TICK = {
    "before-recording": _before(fires, "record_due"),
    "runs-inserted": _after_statement("INSERT INTO RUNS"),
    "jobs-advanced": _after_statement("UPDATE JOBS"),
    "before-commit": _at_commit("before_commit"),
    "after-commit": _at_commit("after_commit"),
    "before-publish": _around_publish(is_before=True),
    "amid-publish": _in_publish,
    "after-publish": _around_publish(is_before=False),
    "after-scores": _after_scores,
}

#: What the janitor does with a message that was lost: taken from the rows, then sent.
JANITOR = {
    "taken-to-resend": _after(outbox, "take_unsent"),
    "retries-queued": _after(janitor, "queue_due_retries"),
    "lost-finished": _after(rescue, "finish_lost"),
}

#: The steps of a worker's process, in their order.
WORK = {
    "before-claim": _before(execution, "claim_plain"),
    "claimed": _after(execution, "claim_plain"),
    "before-work": _before(runner, "call"),
    "worked": _after(runner, "call"),
    "finished": _after(finish_run, "finish_plain"),
}


def _held(hit: Hit) -> None:
    """Die when a held back outcome is to be written."""
    take_own = Completer.take_own

    def crashing(self: Completer) -> FinishedRun | None:
        end = take_own(self)
        if end is not None:
            hit()
        return end

    # The wrapper takes the place of the method.
    Completer.take_own = crashing  # type: ignore[method-assign]
    # However slow the machine is: whenever there was a run before, the worker is busy.
    completer.BUSY_SECONDS = 60.0


def _unwritten(hit: Hit) -> None:
    """Leave out, for `forgets`, the write of how a run finished."""
    finish = finish_run.finish_run

    def without_finish(process: Process, finished_run: FinishedRun) -> None:
        try:
            hit()
        except StepLeftOut:
            return
        finish(process, finished_run)

    vars(execution)["finish_run"] = without_finish
    stalled_runs.STALLED_SECONDS = 2.0
    stalled_runs.STALLED_POLL_SECONDS = 0.5


STEPS = TICK | JANITOR | WORK | {"held": _held, "unwritten": _unwritten}


def run(directory: Path, whom: str, crash_points: str, command: list[str]) -> None:
    """Become the process `jobs-app COMMAND …` with its *crash_points*."""
    for crash_point in crash_points.split(","):
        step, _, number = crash_point.partition(":")
        STEPS[step](CrashPoint(directory, whom, step, int(number)).hit)
    sys.argv = ["jobs-app", *command]
    main()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
