"""Types of settings that are checked, and the addresses that their URLs contain."""

import re
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from jobs_app.core.command_limits import parse_limits
from jobs_app.core.job_series import parse_job_series
from jobs_app.core.network_allowlist import OwnServer, parse_allowlist
from jobs_app.core.redis_address import REDIS_PORT, SENTINEL_PORT, redis_address
from jobs_app.core.smtp_url import mail_server
from jobs_app.core.url_server import server_fault


def _known_zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is not an IANA time zone") from error
    return value


def _known_level(value: str) -> str:
    if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError("use DEBUG, INFO, WARNING or ERROR")
    return value.upper()


def _is_address(value: str) -> str:
    try:
        return value if value == "*" else str(ip_address(value))
    except ValueError as error:
        raise ValueError("use an IP address, as in 10.0.0.7, or *") from error


def _matches(pattern: str, hint: str) -> AfterValidator:
    """Return a validator that refuses, with *hint*, a text that *pattern* does not match."""

    def check(value: str) -> str:
        if not re.match(pattern, value):
            raise ValueError(hint)
        return value

    return AfterValidator(check)


def _parses_with(parse: Callable[[str], object]) -> AfterValidator:
    """Return a validator that refuses a text for which *parse* raises ValueError."""

    def check(value: str) -> str:
        parse(value)
        return value

    return AfterValidator(check)


def _is_readable(setting: str, default_port: int) -> AfterValidator:
    """Return a validator that refuses an address whose password hides where the host is."""

    def check(value: str) -> str:
        # Without `from`: the error has a part of the password.
        hint = "it cannot be read; write / @ : # ? of a password as %2F %40 %3A %23 %3F"
        try:
            servers_of(setting, value, default_port)
            parts = urlsplit(value)
        except ValueError:
            raise ValueError(hint) from None
        if "@" in parts.path and parts.scheme not in ("unix", "sqlite"):
            raise ValueError(hint)
        return _has_server(value, may_be_several=True)

    return AfterValidator(check)


def _has_server(value: str, *, may_be_several: bool = False) -> str:
    """Return *value*; raises ValueError if no client can open its server."""
    if fault := server_fault(value, may_be_several=may_be_several):
        raise ValueError(f"it {fault.removesuffix('.')}")
    return value


def _with_whole_path(value: str) -> str:
    """Return a URL of SQLite with the whole path of its file.

    A module of the user may change the directory, and Flask-SQLAlchemy has one of its own.
    """
    relative = re.match(r"sqlite:///(?!/|:memory:|file:)(?=.)", value)
    return f"sqlite:///{Path.cwd()}/{value[relative.end() :]}" if relative else value


DataDir = Annotated[Path, AfterValidator(Path.absolute)]
Timezone = Annotated[str, AfterValidator(_known_zone)]
LogLevel = Annotated[str, AfterValidator(_known_level)]
LogFormat = Annotated[str, _matches(r"(text|json)\Z", "use text or json")]
TrustedProxy = Annotated[str, AfterValidator(_is_address)]
WorkerPool = Annotated[str, _matches(r"(prefork|threads|solo)\Z", "use prefork, threads or solo")]
RemoteControl = Annotated[str, _matches(r"(inspect|all|none)\Z", "use inspect, all or none")]
DatabaseUrl = Annotated[
    str,
    _matches(
        r"(sqlite|postgres(ql(\+psycopg)?)?)://",
        "use postgresql://USER:PASSWORD@HOST/NAME or sqlite:////PATH/FILE; "
        "other databases and drivers are not supported",
    ),
    _is_readable("JOBS_DATABASE_URL", 5432),
    AfterValidator(_with_whole_path),
]
RedisUrl = Annotated[str, _is_readable("JOBS_REDIS_URL", REDIS_PORT), _parses_with(redis_address)]
PublicUrl = Annotated[
    str,
    _matches(
        r"https?://[^/\s:@?#][^\s@?#]*\Z",
        "use http:// or https:// and a host, without a user, ? and #, as in https://jobs.example.org",
    ),
    AfterValidator(_has_server),
]
HttpUrl = Annotated[
    str,
    _matches(r"https?://[^/\s?#]+([/?]\S*)?\Z", "use the whole address, with https:// or http://"),
    AfterValidator(_has_server),
]
Shells = Annotated[
    str,
    _matches(r"\s*(/[^\s,]+\s*(,\s*/[^\s,]+\s*)*)?\Z", "use whole paths with commas, as /bin/bash"),
]
Accounts = Annotated[
    str, _matches(r"\s*[^/:\s,]*(\s*,\s*[^/:\s,]*)*\s*\Z", "use names of accounts with commas")
]
EnvFiles = Annotated[
    str,
    _matches(
        r"\s*((([^\s/,=]+=)?/[^,]+)(,\s*([^\s/,=]+=)?/[^,]+)*)?\Z",
        "use whole paths with commas, with TAG= before those of a tag",
    ),
]
ShellLimits = Annotated[str, _parses_with(parse_limits)]
AllowList = Annotated[str, _parses_with(parse_allowlist)]
MetricsJobs = Annotated[str, _parses_with(parse_job_series)]
SmtpUrl = Annotated[str, _parses_with(mail_server)]


def servers_of(setting: str, url: str, default_port: int) -> list[OwnServer]:
    """Return the servers of *url* that are reached by network; PostgreSQL may name several."""
    parts = urlsplit(url)
    # A path, of a file or of a unix socket, is not reached by network.
    hosts = "" if parts.scheme == "unix" else parts.netloc.rpartition("@")[2]
    addresses = [urlsplit(f"//{host}") for host in hosts.split(",") if host]
    if parts.scheme.endswith("+sentinel"):
        default_port = SENTINEL_PORT
    return [
        OwnServer(setting, address.hostname or "", address.port or default_port)
        for address in addresses
    ]


def without_secrets(url: str) -> str:
    """Return *url* for people: without the password, and without options, which may have one."""
    parts = urlsplit(url)
    user, separator, hosts = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    address = f"{name}{':***' if colon else ''}{separator}{hosts}"
    options = "?…" if parts.query else ""
    return f"{parts.scheme}://{address}{parts.path}{options}"
