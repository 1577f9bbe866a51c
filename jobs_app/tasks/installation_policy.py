"""The network rules of this installation, for its tasks; the sender of notifications gets parts.

Its own servers are those of its settings, and those that the Sentinels of JOBS_REDIS_URL name.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.network_allowlist import OwnServer, parse_allowlist
from jobs_app.core.settings import Settings
from jobs_app.tasks.network_policy import NetworkPolicy
from jobs_app.tasks.sentinel_servers import named_servers


def http_policy(settings: Settings) -> NetworkPolicy:
    """Return the rules for HTTP requests."""
    return NetworkPolicy(
        settings.allow_private_addresses,
        settings.http_allowlist,
        settings.own_servers,
        look_up_own=sentinel_look_up(settings),
    )


def broker_policy(settings: Settings) -> NetworkPolicy:
    """Return the rules for the brokers of `celery` tasks."""
    return NetworkPolicy(
        settings.allow_private_addresses,
        parse_allowlist(settings.celery_allow),
        settings.own_servers,
        "JOBS_CELERY_ALLOW",
        look_up_own=sentinel_look_up(settings),
    )


def sentinel_look_up(settings: Settings) -> Callable[[], tuple[OwnServer, ...] | None] | None:
    """Return what asks the Sentinels which servers they name; None without Sentinels."""
    # Without a URL of Redis there is no server to protect.
    with suppress(ConfigurationError):
        if (sentinels := settings.redis_address.sentinels) is not None:
            return partial(named_servers, sentinels, settings.redis_address.tls_options)
    return None
