"""Tasks that use Celery's ways to retry themselves, or to send other tasks."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from celery import Task, chain, group, shared_task
from celery.exceptions import Ignore, Reject


@shared_task(bind=True, max_retries=5)
def counts_up(self: Task[Any, Any], n: int) -> int:
    """Ask to be called again with other arguments."""
    print(f"called with {n}")
    if n < 3:
        raise self.retry(kwargs={"n": n + 1}, countdown=0)
    return n


@shared_task(bind=True)
def waits(self: Task[Any, Any], how: str) -> int:
    """Ask to be called again two seconds later."""
    if self.request.retries:
        return self.request.retries
    if how == "countdown":
        raise self.retry(countdown=2)
    raise self.retry(eta=datetime.now(UTC) + timedelta(seconds=2))


@shared_task(bind=True)
def gives_up(self: Task[Any, Any]) -> None:
    """Be tried twice, and then tell of the error that was in the way."""
    raise self.retry(exc=ValueError("no such file"), max_retries=1, countdown=0)


@shared_task(bind=True)
def goes_on(self: Task[Any, Any]) -> str:
    """Ask to be tried again without leaving off."""
    if self.request.retries:
        return "done"
    self.retry(countdown=0, throw=False)
    print("went on")
    return "not yet"


@shared_task(autoretry_for=(OSError,), max_retries=2, retry_backoff=1, retry_jitter=False)
def backs_off() -> None:
    """Fail each time, with growing pauses."""
    raise OSError("no disk")


@shared_task
def wants_no_result() -> None:
    """Leave it at that."""
    raise Ignore


@shared_task(bind=True)
def fails_by_hand(self: Task[Any, Any]) -> None:
    """Fail as tutorials have it."""
    self.update_state(state="FAILURE", meta={"message": "no such table"})
    raise Ignore


@shared_task
def refuses() -> None:
    """Send the message back."""
    raise Reject("not for me", requeue=False)


@shared_task
def add(x: int, y: int) -> int:
    """Add two numbers."""
    return x + y


@shared_task(bind=True)
def is_replaced(self: Task[Any, Any]) -> None:
    """Have others do the work."""
    raise self.replace(chain(add.s(1, 2), add.s(10)))


@shared_task
def leaves_a_trace(previous: object, file: str) -> None:
    """Note what came before, outside of everything."""
    with Path(file).open("a") as trace:
        trace.write(f"{previous}\n")


@shared_task
async def doubles(number: int) -> int:
    """Do its work in a coroutine, which no run of this file starts."""
    await asyncio.sleep(0)
    return 2 * number


@shared_task
def sends_others(file: str) -> str:
    """Send a chain and a group, and wait for neither."""
    chain(add.s(1, 2), doubles.s(), leaves_a_trace.s(file)).apply_async()
    group(leaves_a_trace.si(name, file) for name in ("left", "right")).apply_async()
    return "sent"
