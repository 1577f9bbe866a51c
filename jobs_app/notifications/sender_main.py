"""The process that sends: it reads orders line by line, and answers each with its outcome.

A process of its own, because what it runs is not ours: apprise's services may hang for
ever, print, or be slow to import, and none of that may reach the scheduler. It gets no
variable of the scheduler's, ends with its standard input, and, whatever hangs, by alarm.
"""

import json
import logging
import os
import re
import signal
import time
from typing import Any
from urllib.parse import unquote, urlsplit

from jobs_app.core.network_allowlist import AllowlistEntry, OwnServer, parse_allowlist
from jobs_app.core.process import protect_memory
from jobs_app.notifications.sandbox import Sandbox
from jobs_app.notifications.webhook import NotSent, WebhookRequest, send

#: Beyond the time for a message, until the alarm ends the process; seconds.
ALARM_SECONDS = 5

MAX_ERROR_LENGTH = 300

#: Shorter parts of an address are too common to be taken out of an error.
MIN_SECRET_LENGTH = 4


def main() -> None:
    """Answer orders until there are no more."""
    # The addresses that it is given hold passwords.
    protect_memory()
    orders, answers = _own_streams()
    first = json.loads(orders.readline() or "{}")
    allows_private = bool(first.get("allows_private"))
    allowlist = parse_allowlist(first.get("http_allow", ""))
    guard = Sandbox(
        allows_private=allows_private,
        closed_folders=first.get("closed_folders", ()),
        allowlist=allowlist,
        own=[OwnServer(**server) for server in first.get("own_servers", ())],
    )
    guard.install()
    _answer(answers, {"ready": True})
    for line in orders:
        order = json.loads(line)
        signal.alarm(int(order["seconds"]) + ALARM_SECONDS)
        guard.refused.clear()
        error = _error(order, allows_private=allows_private, allowlist=allowlist)
        signal.alarm(0)
        _answer(answers, {"error": guard.refused[0] if error and guard.refused else error})


def _own_streams() -> tuple[Any, Any]:
    """Return the pipes to the scheduler, and leave what a library prints to nobody."""
    orders = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return orders, answers


def _answer(answers: Any, said: dict[str, Any]) -> None:
    answers.write(json.dumps(said) + "\n")
    answers.flush()


def _error(
    order: dict[str, Any], *, allows_private: bool, allowlist: tuple[AllowlistEntry, ...]
) -> str | None:
    """Do one order; return why it failed, None if it did not."""
    target, seconds = order["target"], float(order["seconds"])
    try:
        if "webhook" in target:
            request = WebhookRequest(
                url=target["webhook"]["url"],
                secret=target["webhook"]["secret"],
                event=order["event"],
                delivery_id=order["id"],
                document=order["document"],
                sent_at=int(time.time()),
            )
            send(request, allows_private=allows_private, allowlist=allowlist, seconds=seconds)
        else:
            _notify(target["url"], order, seconds=seconds)
    except NotSent as error:
        return without_address(str(error), target)
    except Exception as error:  # noqa: BLE001  # a service's own code; the others go on
        return without_address(f"{type(error).__name__}: {error}", target)
    return None


def _notify(url: str, order: dict[str, Any], *, seconds: float) -> None:
    """Send by apprise; raises NotSent with what it logged."""
    # Here, because whoever calls webhooks only need not wait for it.
    import apprise  # noqa: PLC0415

    heard = _Listener()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [heard], False
    logger.setLevel(logging.WARNING)
    asset = apprise.AppriseAsset(
        app_id="jobs-app",
        app_desc="jobs-app",
        app_url="",
        async_mode=False,
        secure_logging=True,
        allow_templates=False,
        storage_mode="memory",
        service_timeout=seconds,
    )
    service = apprise.Apprise(asset=asset)
    if not service.add(url):
        raise NotSent("The address cannot be read by this version of apprise.")
    is_sent = service.notify(
        body=order["text"],
        title=order["title"],
        notify_type=apprise.NotifyType(order["kind"]),
        body_format=apprise.NotifyFormat.TEXT,
    )
    if not is_sent:
        raise NotSent(" ".join(heard.said) or "The service refused it, or did not answer.")


class _Listener(logging.Handler):
    """Keeps what apprise says of a failure."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def without_address(error: str, target: dict[str, Any]) -> str:
    """Return *error* as one short line without any part of an address but its host."""
    webhook = target.get("webhook")
    url = str(target["url"] if webhook is None else webhook["url"])
    secrets = _parts(url) | ({str(webhook["secret"])} if webhook is not None else set())
    for secret in sorted(secrets, key=len, reverse=True):
        error = error.replace(secret, "…")
    return " ".join(error.split())[:MAX_ERROR_LENGTH]


def _parts(url: str) -> set[str]:
    """Return the parts of *url* that may be secret: all, but the host where it is no token."""
    rest = url.partition("://")[2]
    parts = {part for part in re.split(r"[/:@?&=,;#]", rest) if len(part) >= MIN_SECRET_LENGTH}
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    # slack://TOKEN/… has a token where others have their host; a host has a dot.
    if "." in host or host == "localhost":
        parts.discard(host)
        parts = {part for part in parts if part.lower() != host}
    return {url, rest} | parts | {unquote(part) for part in parts}


if __name__ == "__main__":
    main()
