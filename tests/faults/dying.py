"""Starts a process of jobs-app that kills itself (SIGKILL) at one step of its work.

    python -m tests.faults.dying FUSES WHOM STEP:NUMBER[,STEP:NUMBER…] COMMAND …

The product knows nothing of this: a function of it is wrapped, and the NUMBER-th call,
counted over all processes that share the directory FUSES, dies before it, in the middle
of it or after it. WHOM is `self`, `parent` for a pool process that takes the worker with it,
`frozen` for one that is only stopped (SIGSTOP), `waits` for one that stays at that step until
`Installation.freeze_at` has frozen it, and goes on from there when it is thawed, or `forgets`
for one that goes on and leaves that step out.
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
from jobs_app.worker import completer, execution, runner
from jobs_app.worker.completer import Completer, FinishedRun
from jobs_app.worker.liveness import stalled_runs
from jobs_app.worker.pool_process import Process


class Forgotten(Exception):
    """A step is to be left out."""


class Fuse:
    """Blows at one call of many, whichever process makes it."""

    def __init__(self, directory: Path, whom: str, name: str, number: int) -> None:
        self._calls = directory / name
        self._blown = directory / f"{name}.blown"
        self._released = directory / f"{name}.released"
        self._whom = whom
        self._number = number

    def burn(self) -> None:
        """Count a call, and die if it is the one."""
        # Unbuffered: only what is written at once has its place in the file, and no other has it.
        with self._calls.open("ab", buffering=0) as calls:
            calls.write(b".")
            is_the_one = calls.tell() == self._number
        if is_the_one:
            self._blown.touch()
            if self._whom == "waits":
                while not self._released.exists():
                    time.sleep(0.01)
                return
            if self._whom == "forgets":
                raise Forgotten
            if self._whom == "parent":
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGSTOP if self._whom == "frozen" else signal.SIGKILL)


Burn = Callable[[], None]


def _before(owner: Any, name: str) -> Callable[[Burn], None]:
    def wrap(burn: Burn) -> None:
        original = getattr(owner, name)

        def dying(*args: Any, **kwargs: Any) -> Any:
            burn()
            return original(*args, **kwargs)

        setattr(owner, name, dying)

    return wrap


def _after(owner: Any, name: str) -> Callable[[Burn], None]:
    def wrap(burn: Burn) -> None:
        original = getattr(owner, name)

        def dying(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            # An idle look did nothing, and dying after nothing proves nothing.
            if answer is not None and answer != []:
                burn()
            return answer

        setattr(owner, name, dying)

    return wrap


def _at_commit(when: str) -> Callable[[Burn], None]:
    """Die at the commit of recorded fires: `before_commit` or `after_commit`."""

    def wrap(burn: Burn) -> None:
        original = fires.record_due

        def dying(session: Session, *args: Any, **kwargs: Any) -> Any:
            event.listen(session, when, lambda *_: burn())
            return original(session, *args, **kwargs)

        fires.record_due = dying

    return wrap


def _after_statement(start: str) -> Callable[[Burn], None]:
    """Die inside the transaction, after the statement of it that begins with *start*."""

    def wrap(burn: Burn) -> None:
        original = fires.record_due

        def dying(session: Session, *args: Any, **kwargs: Any) -> Any:
            def executed(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
                if statement.lstrip().upper().startswith(start):
                    burn()

            engine = session.get_bind()
            event.listen(engine, "after_cursor_execute", executed)
            try:
                return original(session, *args, **kwargs)
            finally:
                event.remove(engine, "after_cursor_execute", executed)

        fires.record_due = dying

    return wrap


def _in_publish(burn: Burn) -> None:
    """Die when half of the messages are sent."""
    owner: Any = beat
    original = owner.publish

    def dying(app: Celery, messages: Sequence[Message]) -> None:
        half = len(messages) // 2
        original(app, messages[:half])
        burn()
        original(app, messages[half:])

    owner.publish = dying


def _around_publish(is_before: bool) -> Callable[[Burn], None]:
    def wrap(burn: Burn) -> None:
        owner: Any = beat
        original = owner.publish

        def dying(app: Celery, messages: Sequence[Message]) -> None:
            if is_before:
                burn()
            original(app, messages)
            if not is_before:
                burn()

        owner.publish = dying

    return wrap


def _after_scores(burn: Burn) -> None:
    original = Projection.write_scores

    def dying(self: Projection, due: Any) -> None:
        original(self, due)
        burn()

    Projection.write_scores = dying  # type: ignore[method-assign]


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
    "dead-ended": _after(rescue, "finish_lost"),
}

#: The steps of a worker's process, in their order.
WORK = {
    "before-claim": _before(execution, "claim_plain"),
    "claimed": _after(execution, "claim_plain"),
    "before-work": _before(runner, "call"),
    "worked": _after(runner, "call"),
    "finished": _after(execution, "finish_plain"),
}


def _held(burn: Burn) -> None:
    """Die when an end that was held back is to be written, its run's job being done."""
    take_own = Completer.take_own

    def dying(self: Completer) -> FinishedRun | None:
        end = take_own(self)
        if end is not None:
            burn()
        return end

    Completer.take_own = dying  # type: ignore[method-assign]
    # However slow the machine is: whenever there was a run before, the worker is busy.
    completer.BUSY_SECONDS = 60.0


def _unwritten(burn: Burn) -> None:
    """Forget, for `forgets`, to write how a run ended."""
    finish = execution._finish

    def forgetful(process: Process, finished_run: FinishedRun) -> None:
        try:
            burn()
        except Forgotten:
            return
        finish(process, finished_run)

    execution._finish = forgetful
    stalled_runs.STALLED_SECONDS = 2.0
    stalled_runs.STALLED_POLL_SECONDS = 0.5


STEPS = TICK | JANITOR | WORK | {"held": _held, "unwritten": _unwritten}


def run(directory: Path, whom: str, fuses: str, command: list[str]) -> None:
    """Become the process `jobs-app COMMAND …` with its *fuses* set."""
    for each in fuses.split(","):
        step, _, number = each.partition(":")
        STEPS[step](Fuse(directory, whom, step, int(number)).burn)
    sys.argv = ["jobs-app", *command]
    main()


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
