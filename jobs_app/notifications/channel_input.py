"""The fields of a channel as a person gives them: checked, and put in the form that is stored."""

import json
import logging
import re
from dataclasses import dataclass
from typing import Any

from jobs_app.core.errors import FieldError
from jobs_app.core.states import Event
from jobs_app.core.text import did_you_mean
from jobs_app.core.url_server import MAX_PORT, PORT_FAULT
from jobs_app.tasks.context import HttpFailed
from jobs_app.tasks.http_request import checked_url, port_of
from jobs_app.tasks.network_policy import NetworkPolicy

# It logs the addresses that it reads, and removes only some of their secrets.
logging.getLogger("apprise").disabled = True

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?")
_NAME_RULE = (
    "must be 1 to 100 lower-case letters, digits, '.', '_' or '-', "
    "with a letter or digit at both ends"
)

#: The kind of a channel that is called with a signed request, not through apprise.
WEBHOOK = "webhook"

#: apprise's services that show a message on the scheduler's own machine: nobody sits there.
LOCAL_SCHEMES = frozenset(
    {"blink1", "dbus", "gio", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"}
)

MIN_SECRET_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is called with a signed request."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class ChannelInput:
    """The fields of a new or changed channel: one of *url* (apprise's) and *webhook*.

    In a change, None leaves a field as it is.
    """

    url: str | None = None
    webhook: Webhook | None = None
    events: tuple[Event, ...] | None = None
    is_default: bool | None = None

    @property
    def has_address(self) -> bool:
        """Tell whether it has a url or a webhook."""
        return self.url is not None or self.webhook is not None

    @property
    def kind(self) -> str:
        """Return "webhook", or the scheme of apprise's URL."""
        if self.url is not None:
            return self.url.partition("://")[0].strip().lower()
        return WEBHOOK

    def target(self) -> str:
        """Return the address as JSON, to be encrypted."""
        if self.webhook is not None:
            return json.dumps({"webhook": {"url": self.webhook.url, "secret": self.webhook.secret}})
        return json.dumps({"url": self.url})

    def warnings(self, policy: NetworkPolicy) -> list[str]:
        """Return why no message to the address can be sent: the policy refuses its host."""
        host, port = self._server()
        reason = None if host is None else policy.literal_refusal(host, port)
        return [] if reason is None else [f"No message can be sent: {host} is {reason}."]

    def _server(self) -> tuple[str | None, int]:
        """Return the host and the port of the address; None for a service with a host of its own.

        The port is 0 if it follows from the service.
        """
        if self.webhook is not None:
            url = checked_url(self.webhook.url)
            return url.host, port_of(url)
        if self.url is None:
            return None, 0
        # It takes half a second to import.
        import apprise  # noqa: PLC0415

        service = apprise.Apprise.instantiate(self.url, suppress_exceptions=True)
        # A mail service keeps the host of the address in `host`, and the one it calls here.
        host = getattr(service, "smtp_host", None) or getattr(service, "host", None)
        return host or None, getattr(service, "port", None) or 0

    def errors(self, *, is_new: bool) -> list[FieldError]:
        """Return the errors of the address; a new channel must have one."""
        if self.url is not None and self.webhook is not None:
            detail = "A channel has exactly one of url and webhook. This has both."
            return [FieldError("", "one_address", detail)]
        if self.url is not None:
            return _url_errors(self.url)
        if self.webhook is not None:
            return _webhook_errors(self.webhook)
        if is_new:
            detail = "A channel has exactly one of url and webhook. This has none."
            return [FieldError("", "one_address", detail)]
        return []


def name_errors(name: str) -> list[FieldError]:
    """Return the errors of the name of a new channel."""
    if NAME.fullmatch(name):
        return []
    shortened = name if len(name) <= 60 else name[:60] + "…"
    return [FieldError("/name", "invalid_name", f"The name {shortened!r} {_NAME_RULE}.")]


def _url_errors(url: str) -> list[FieldError]:
    """Return the errors of an apprise URL. They repeat only its scheme."""
    # Imported here: it takes half a second, and only a change of a channel needs it.
    import apprise  # noqa: PLC0415

    # apprise takes half a second to import.
    from apprise.manager_plugins import NotificationManager  # noqa: PLC0415

    pointer = "/url"
    scheme, separator, _ = url.partition("://")
    scheme = scheme.strip().lower()
    if not separator or not re.fullmatch(r"[a-z0-9_.+-]{1,40}", scheme):
        detail = "The URL must be one of apprise's, as in mailto://USER:PASSWORD@HOST."
        return [FieldError(pointer, "invalid_url", detail)]
    manager: Any = NotificationManager
    schemes = [name for name in manager().schemas() if name not in LOCAL_SCHEMES]
    if scheme in LOCAL_SCHEMES:
        detail = f"{scheme}:// shows messages on the scheduler's own machine, where nobody looks."
        return [FieldError(pointer, "local_service", detail)]
    if scheme not in schemes:
        hint = did_you_mean(scheme, schemes)
        if scheme in {"http", "https"}:
            hint = " For an address of your own use webhook, or json://."
        detail = f"There is no service {scheme}://.{hint}"
        return [FieldError(pointer, "no_such_service", detail)]
    service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    if service is None:
        detail = (
            f"The URL is not complete, or not in the form of {scheme}://: see "
            "https://github.com/caronc/apprise/wiki."
        )
        return [FieldError(pointer, "invalid_url", detail)]
    port = getattr(service, "port", None)
    if port is not None and not 0 < port <= MAX_PORT:
        return [FieldError(pointer, "invalid_url", f"The URL {PORT_FAULT}")]
    return []


def _webhook_errors(webhook: Webhook) -> list[FieldError]:
    errors = []
    try:
        checked_url(webhook.url)
        if not webhook.url.isascii() or re.search(r"\s", webhook.url):
            raise HttpFailed("The URL of a webhook has only ASCII characters, and no spaces.")
    except HttpFailed as error:
        errors.append(FieldError("/webhook/url", "invalid_url", error.detail))
    if len(webhook.secret) < MIN_SECRET_LENGTH:
        detail = f"The secret of a webhook must have at least {MIN_SECRET_LENGTH} characters."
        errors.append(FieldError("/webhook/secret", "too_short", detail))
    return errors
