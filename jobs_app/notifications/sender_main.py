"""The main program of the sender process: sends one message per line of its requests.

apprise's services are not our code: they may hang, print, or be slow to import. A process of
its own keeps that away from the scheduler. The fork server forks it, so that nobody can read
the addresses in its memory. It gets none of the scheduler's settings, ends with the pipe of
its requests, and an alarm ends it when a service hangs.
"""

import json
import logging
import os
import re
import signal
import time
from dataclasses import replace
from typing import Any
from urllib.parse import unquote, urlsplit

from jobs_app.core.network_allowlist import OwnServer, parse_allowlist
from jobs_app.notifications.sandbox import Sandbox
from jobs_app.notifications.webhook import NotSent, WebhookRequest, send
from jobs_app.tasks.network_policy import NetworkPolicy

#: Seconds after the time of a message until the alarm ends the process.
ALARM_GRACE_SECONDS = 5

MAX_ERROR_LENGTH = 300

#: Parts of an address that are shorter are too common to be removed from an error.
MIN_SECRET_LENGTH = 4


def main(requests_fd: int, answers_fd: int) -> None:
    """Answer requests until there are no more."""
    requests = os.fdopen(requests_fd, encoding="utf-8")
    answers = os.fdopen(answers_fd, "w", encoding="utf-8")
    options = json.loads(requests.readline() or "{}")
    policy = NetworkPolicy(
        bool(options.get("allows_private")),
        parse_allowlist(options.get("http_allow", "")),
        _servers(options.get("own_servers", ())) or (),
    )
    sandbox = Sandbox(policy, closed_folders=options.get("closed_folders", ()))
    sandbox.install()
    _answer(answers, {"ready": True})
    for line in requests:
        request = json.loads(line)
        signal.alarm(int(request["seconds"]) + ALARM_GRACE_SECONDS)
        sandbox.begin(_servers(request.get("named_servers", ())))
        error = _send(request, policy)
        signal.alarm(0)
        _answer(
            answers, {"error": sandbox.violations[0] if error and sandbox.violations else error}
        )


def _servers(objects: list[dict[str, Any]] | None) -> tuple[OwnServer, ...] | None:
    return None if objects is None else tuple(OwnServer(**one) for one in objects)


def _answer(answers: Any, answer: dict[str, Any]) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


def _send(request: dict[str, Any], policy: NetworkPolicy) -> str | None:
    """Send one message; return why it was not sent, None if it was."""
    target, seconds = request["target"], float(request["seconds"])
    try:
        if "webhook" in target:
            webhook = WebhookRequest(
                url=target["webhook"]["url"],
                secret=target["webhook"]["secret"],
                event=request["event"],
                delivery_id=request["id"],
                document=request["document"],
                sent_at=int(time.time()),
            )
            # The sandbox refuses our own servers.
            send(webhook, replace(policy, own=()), seconds=seconds)
        else:
            _send_by_apprise(target["url"], request, seconds=seconds)
    except NotSent as error:
        # Our own words quote no secret: a part of the address may be one of them.
        quotation = without_address(error.quotation, target)
        return " ".join(filter(None, (str(error), quotation and f"({quotation})")))
    except Exception as error:  # noqa: BLE001  # a service's own code may raise anything
        return without_address(f"{type(error).__name__}: {error}", target)
    return None


def _send_by_apprise(url: str, request: dict[str, Any], *, seconds: float) -> None:
    """Send by apprise; raises NotSent with what it logged."""
    # Imported here: it takes half a second, and webhooks do not need it.
    import apprise  # noqa: PLC0415

    log_lines = _LogLines()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [log_lines], False
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
        body=request["text"],
        title=request["title"],
        notify_type=apprise.NotifyType(request["kind"]),
        body_format=apprise.NotifyFormat.TEXT,
    )
    if not is_sent:
        raise NotSent("The service refused it, or did not answer.", " ".join(log_lines.lines))


class _LogLines(logging.Handler):
    """Keeps the log lines of apprise: they say why a message was not sent."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def without_address(error: str, target: dict[str, Any]) -> str:
    """Return *error* as one short line, without the parts of the address except its host."""
    webhook = target.get("webhook")
    url = str(target["url"] if webhook is None else webhook["url"])
    secrets = _parts(url) | ({str(webhook["secret"])} if webhook is not None else set())
    for secret in sorted(secrets, key=len, reverse=True):
        error = error.replace(secret, "…")
    return " ".join(error.split())[:MAX_ERROR_LENGTH]


def _parts(url: str) -> set[str]:
    """Return the parts of *url* that may be secret: all of them, except a real host name."""
    rest = url.partition("://")[2]
    parts = {part for part in re.split(r"[/:@?&=,;#]", rest) if len(part) >= MIN_SECRET_LENGTH}
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    # slack://TOKEN/… has a token in place of the host. A host name has a dot.
    if "." in host or host == "localhost":
        parts.discard(host)
        parts = {part for part in parts if part.lower() != host}
    return {url, rest} | parts | {unquote(part) for part in parts}
