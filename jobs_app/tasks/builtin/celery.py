"""The task `celery`: has workers of other people's Celery run a task, and waits for its result."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal, TypedDict, TypeVar

from celery import shared_task
from pydantic import AfterValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from jobs_app.core import clock
from jobs_app.core.errors import FieldError
from jobs_app.core.settings import Settings
from jobs_app.core.states import CancelMode
from jobs_app.secrets import references
from jobs_app.tasks.any_task import AnyTask
from jobs_app.tasks.celery_client import CeleryClient
from jobs_app.tasks.celery_message import TaskMessage, TaskState
from jobs_app.tasks.celery_progress import from_celery
from jobs_app.tasks.celery_results import QueuedResults, RedisResults, Results
from jobs_app.tasks.celery_sending import Sending
from jobs_app.tasks.celery_server import CeleryServer, celery_server
from jobs_app.tasks.celery_waiting import Waiting, in_thread
from jobs_app.tasks.context import (
    Cancelled,
    CeleryFailed,
    Fenced,
    RunContext,
    TimedOut,
    current_run,
)
from jobs_app.tasks.installation_policy import broker_policy

#: The run looks this often whether it must stop, seconds.
POLL_SECONDS = 0.2

#: Pauses between two looks for the result: the first one, and the longest, seconds.
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 1.0

#: The result backend may be away for this long, seconds.
OUTAGE_SECONDS = 300.0

#: A run that must stop spends this long to revoke its task, seconds.
REVOKE_SECONDS = 5.0

#: The end of a run waits this long for its connection to close, seconds.
CLOSE_SECONDS = 1.0

#: The value of `result_backend` for results in a queue of the broker, as in Celery.
RPC = "rpc://"

#: The arguments that name servers.
SERVERS = ("broker", "result_backend")

T = TypeVar("T")


def _name(text: str) -> str:
    if not text.strip() or len(text) > 255 or not text.isprintable():
        raise PydanticCustomError("bad_name", "must have 1 to 255 printable characters.")
    return text


Name = Annotated[str, AfterValidator(_name)]


class CeleryResult(TypedDict):
    """What became of the task; `id` is its id in Celery.

    `state` is SENT if nobody waited for its result, which is null then.
    """

    id: str
    task: str
    queue: str
    state: Literal["SENT", "SUCCESS"]
    result: JsonValue
    duration_seconds: float


class CeleryTask(AnyTask):
    """The base of `celery`: checks that its servers are secrets."""

    abstract = True

    @staticmethod
    def faults_of(kwargs: Mapping[str, Any], _settings: Settings) -> Iterator[FieldError]:
        """Yield a fault for each server that is not the reference to a secret, and no more."""
        for name in SERVERS:
            value = kwargs.get(name)
            if name == "result_backend" and value == RPC:
                continue
            if isinstance(value, str) and not references.is_reference(value):
                detail = (
                    f"The argument {name!r} of 'celery' must be a secret, which holds the URL:"
                    " store it with `jobs-app secret set NAME`, and write"
                    f" {references.OPENING}NAME}}."
                )
                yield FieldError(f"/kwargs/{name}", "not_a_secret", detail)

    @staticmethod
    def warnings_of(kwargs: Mapping[str, Any], _settings: Settings) -> Iterator[str]:
        """Yield a warning if the run does not wait for its task."""
        if kwargs.get("result_backend") is None:
            yield (
                "There is no result_backend: a run succeeds when the broker has the message, and"
                " does not know how the task ends."
            )


@shared_task(name="celery", base=CeleryTask)
def celery(
    broker: Annotated[str, Field(examples=["${secret:shop-broker}"])],
    task: Annotated[Name, Field(examples=["shop.tasks.report"])],
    args: list[JsonValue] | None = None,
    kwargs: dict[str, JsonValue] | None = None,
    queue: Name = "celery",
    result_backend: str | None = None,
    priority: Annotated[int, Field(ge=0, le=255)] | None = None,
    terminate: bool = False,
) -> CeleryResult:
    """Have a worker of your own Celery run a task, and return its result.

    The time limits of the run go with the message, and nobody begins the task after them.

    Args:
        broker: The broker of the workers: a secret with a redis:// or amqp:// URL.
        task: The name of the task, as its workers know it.
        args: Its positional arguments.
        kwargs: Its keyword arguments.
        queue: The queue that the workers consume.
        result_backend: Where they put results: a secret with a redis:// URL, or rpc:// for a
            queue of the broker. Without it the run succeeds when the broker has the message.
        priority: The priority of the message, as the broker has it.
        terminate: Whether a cancel or a time limit ends the task if it has begun.
    """
    context = current_run.get()
    policy = broker_policy(context.settings or Settings())
    client = CeleryClient(_server("broker", broker), policy)
    sending = Sending.of(context)
    results = _results(client, result_backend, sending.id)
    given = (task, args or [], kwargs or {}, queue, priority)
    run = _Run(context, client, results, _message(context, results, sending.id, *given), sending)
    is_over = True
    try:
        return run.result()
    except (Cancelled, TimedOut, Fenced):
        is_over = run.revoke(_signal(context, terminate))
        raise
    except SystemExit:
        # The worker stops, and its run is lost: the next attempt reads what comes.
        is_over = False
        raise
    finally:
        run.close(is_over=is_over)


def _results(client: CeleryClient, result_backend: str | None, task_id: str) -> Results | None:
    if result_backend is None:
        return None
    if result_backend == RPC:
        return QueuedResults(client.broker, client.policy, task_id)
    return RedisResults(_server("result_backend", result_backend), client.policy, task_id)


def _server(name: str, url: str) -> CeleryServer:
    try:
        return celery_server(url, only_redis=name == "result_backend")
    except ValueError as error:
        raise CeleryFailed(f"The URL of {name} cannot be used: {error}.") from None


def _message(
    context: RunContext,
    results: Results | None,
    task_id: str,
    task: str,
    args: list[Any],
    kwargs: dict[str, Any],
    queue: str,
    priority: int | None,
) -> TaskMessage:
    limit = context.limits.first_seconds
    return TaskMessage(
        id=task_id,
        run_id=context.run_id,
        task=task,
        args=args,
        kwargs=kwargs,
        queue=queue,
        origin=f"jobs-app@{socket.gethostname()}",
        priority=priority,
        limits=context.limits,
        expires_at=None if limit is None else clock.now() + timedelta(seconds=limit),
        shown_args=context.mask(args),
        shown_kwargs=context.mask(kwargs),
        wants_result=results is not None,
        reply_to="" if results is None else results.reply_to,
    )


def _signal(context: RunContext, terminate: bool) -> str | None:
    """Return the signal that ends a task that has begun; None lets it go on."""
    if context.is_cancelled() is CancelMode.KILL:
        return "SIGKILL"
    return "SIGTERM" if terminate else None


class _Run:
    """The run of a task by workers elsewhere: its message is sent, its result waited for."""

    def __init__(
        self,
        context: RunContext,
        client: CeleryClient,
        results: Results | None,
        message: TaskMessage,
        sending: Sending,
    ) -> None:
        self._context = context
        self._client = client
        self._results = results
        self._message = message
        self._sending = sending
        self._started = time.monotonic()

    def result(self) -> CeleryResult:
        """Send the message, unless it was sent, and return the result; raises TaskOutcome."""
        results, message = self._results, self._message
        if line := self._sending.line(message):
            self._log(line)
        if results is not None:
            self._unless_stopped(results.open)
        if not self._sending.is_sent:
            self._send()
        if results is None:
            self._log("No result_backend is given: the run does not wait for the task.")
            return self._ended("SENT", None)
        # From now on another attempt waits if this worker is lost.
        sent = {"id": message.id, "task": message.task, "queue": message.queue, "state": "SENT"}
        self._unless_stopped(lambda: self._sending.keep(sent))
        end = self._final_state(results)
        if end.state == "SUCCESS":
            return self._ended("SUCCESS", end.value)
        if end.traceback:
            self._context.log.write("stderr", f"{end.traceback.rstrip()}\n".encode())
        if end.state == "REVOKED":
            raise CeleryFailed(f"{message.task} was revoked ({end.error}).")
        raise CeleryFailed(f"{message.task} failed: {end.error}.")

    def _send(self) -> None:
        client, message = self._client, self._message
        self._unless_stopped(lambda: client.send(message))
        self._log(
            f"{message.task} sent to the queue {message.queue!r} of"
            f" {client.broker.address} as {message.id}"
        )

    def revoke(self, signal: str | None) -> bool:
        """Revoke the task, and log a failure; False if another attempt waits for the task."""
        if self._sending.is_handed_on():
            self._log(f"{self._message.task} goes on: the next attempt waits for it")
            return False
        future = in_thread(lambda: self._client.revoke(self._message.id, signal=signal))
        try:
            future.result(REVOKE_SECONDS)
        except TimeoutError:
            self._log(f"{self._message.task} was not revoked within {REVOKE_SECONDS:g} s")
        except CeleryFailed as error:
            self._log(f"{self._message.task} was not revoked: {error.detail}")
        else:
            how = "it goes on if it has begun" if signal is None else f"by {signal} if it has begun"
            self._log(f"{self._message.task} revoked, {how}")
        return True

    def close(self, *, is_over: bool) -> None:
        """Close the connection for results, in the background if the server does not answer."""
        if self._results is not None:
            with suppress(TimeoutError):
                in_thread(partial(self._results.close, is_over=is_over)).result(CLOSE_SECONDS)

    def _final_state(self, results: Results) -> TaskState:
        """Return the last state of the task, once its worker has stored it."""
        pause, answered_at = FIRST_PAUSE_SECONDS, time.monotonic()
        last: TaskState | None = None
        sent_at, waiting = time.monotonic(), self._waiting()
        while True:
            try:
                state = self._unless_stopped(results.state)
                answered_at = time.monotonic()
            except CeleryFailed as error:
                if not error.may_pass or time.monotonic() - answered_at > OUTAGE_SECONDS:
                    raise
                state = last
            if state is not None and state != last:
                if state.is_final:
                    return state
                self._note(state)
                last = state
            waiting.look(time.monotonic() - sent_at, has_state=last is not None)
            self._pause(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)

    def _waiting(self) -> Waiting:
        client, message = self._client, self._message
        return Waiting(
            message,
            lambda: self._unless_stopped(lambda: client.is_untaken(message)),
            self._log,
            self._context.progress,
        )

    def _note(self, state: TaskState) -> None:
        """Report the progress that a state tells of."""
        if self._context.progress is not None:
            self._context.progress.report(*from_celery(state.state, state.value))

    def _unless_stopped(self, call: Callable[[], T]) -> T:
        """Return what *call* returns; raises TaskOutcome as soon as the run must stop."""
        future = in_thread(call)
        while not future.done():
            self._context.stop_if_asked(elapsed_seconds=time.monotonic() - self._started)
            wait([future], POLL_SECONDS)
        return future.result()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._context.stop_if_asked(elapsed_seconds=time.monotonic() - self._started)
            time.sleep(min(left, POLL_SECONDS))

    def _ended(self, state: Literal["SENT", "SUCCESS"], result: JsonValue) -> CeleryResult:
        message = self._message
        return CeleryResult(
            id=message.id,
            task=message.task,
            queue=message.queue,
            state=state,
            result=result,
            duration_seconds=round(time.monotonic() - self._started, 3),
        )

    def _log(self, line: str) -> None:
        self._context.log.write("stdout", f"{line}\n".encode())
