"""The address in JOBS_REDIS_URL: of one Redis or Valkey, or of Sentinels that know where it is.

Each client gets it in its own form: redis-py, kombu and RedBeat read the options of TLS and
of Sentinel from different places, and kombu checks no certificate unless it is told to.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

REDIS_PORT, SENTINEL_PORT = 6379, 26379

FORM = (
    "use redis://, rediss:// for TLS, unix://, as in redis://127.0.0.1:6379/0, or "
    "redis+sentinel://USER:PASSWORD@HOST:26379,HOST:26379/SERVICE/0"
)

#: The options of TLS, by the names that redis-py, kombu and Celery share.
TLS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
FILES_TEXT = ", ".join(TLS_FILES)

#: The values of `ssl_cert_reqs` in the URLs of redis-py and of Celery.
_CHECKS_CERTIFICATE = {
    **dict.fromkeys(("required", "CERT_REQUIRED"), True),
    **dict.fromkeys(("none", "CERT_NONE"), False),
}


@dataclass(frozen=True, slots=True)
class Sentinels:
    """Sentinels, and the name by which they know Redis."""

    servers: tuple[tuple[str, int], ...]
    service: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def credentials(self) -> dict[str, Any]:
        """The options of redis-py for a connection to a Sentinel."""
        return _without_none(username=self.username, password=self.password)


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, and how to get in.

    `url` names one server, in redis-py's form and without the options of TLS; with Sentinels
    it is empty. `tls` has these options, empty without TLS.
    """

    url: str = field(repr=False)
    tls: dict[str, Any]
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinels: Sentinels | None = None

    @property
    def is_socket(self) -> bool:
        """Whether it is a unix socket."""
        return self.url.startswith("unix://")

    @property
    def credentials(self) -> dict[str, Any]:
        """The options of redis-py for a connection to the Redis that Sentinels name."""
        return _without_none(username=self.username, password=self.password)

    @property
    def tls_options(self) -> dict[str, Any]:
        """The options of redis-py for an encrypted connection that is not made from a URL."""
        return {"ssl": True, **self.tls} if self.tls else {}

    @property
    def celery_url(self) -> str:
        """The URL in kombu's form: `redis+socket://` for a unix socket, `sentinel://` each."""
        if self.sentinels is None:
            return celery_url(self.url)
        user = ""
        if self.username or self.password:
            user = f"{quote(self.username or '', safe='')}:{quote(self.password or '', safe='')}@"
        return ";".join(
            f"sentinel://{user}{_bracketed(host)}:{port}/{self.database}"
            for host, port in self.sentinels.servers
        )

    def celery_options(self, wire: dict[str, Any]) -> dict[str, Any]:
        """Return the transport options of kombu; *wire* are those of each connection."""
        if self.sentinels is None:
            return {}
        wire = {name: value for name, value in wire.items() if name.startswith("socket_")}
        return {
            "master_name": self.sentinels.service,
            "sentinel_kwargs": wire | self.sentinels.credentials | self.tls_options,
        }

    @property
    def redbeat_url(self) -> str:
        """The URL in RedBeat's form."""
        if self.sentinels is None:
            return self.url
        host, port = self.sentinels.servers[0]
        return f"redis-sentinel://{_bracketed(host)}:{port}/{self.database}"

    def redbeat_options(self, wire: dict[str, Any]) -> dict[str, Any]:
        """Return the options of RedBeat's own connection; *wire* are those of each connection."""
        if self.sentinels is None:
            return self.tls | wire
        return {
            "sentinels": list(self.sentinels.servers),
            "service_name": self.sentinels.service,
            "db": self.database,
            "socket_timeout": wire.get("socket_timeout"),
            "sentinel_kwargs": wire | self.sentinels.credentials | self.tls_options,
            **self.credentials,
        }


def redis_address(url: str) -> RedisAddress:
    """Read *url*; raises ValueError, which does not echo it."""
    parts = urlsplit(url)
    scheme, plus, kind = parts.scheme.partition("+")
    if scheme not in {"redis", "rediss", "unix"} or plus + kind not in {"", "+sentinel"}:
        raise ValueError(FORM)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    tls = _tls(scheme, options)
    if kind:
        return _address_of_sentinels(parts, options, tls)
    if tls:
        url = url.partition("?")[0] + (f"?{urlencode(options)}" if options else "")
    return RedisAddress(url, tls)


def _tls(scheme: str, options: dict[str, str]) -> dict[str, Any]:
    """Take the options of TLS out of *options*, and return them."""
    files = {name: options.pop(name) for name in TLS_FILES if name in options}
    named = [name for name in options if name.startswith("ssl_")]
    if scheme != "rediss":
        if files or named:
            raise ValueError("the options ssl_… need rediss:// or rediss+sentinel://")
        return {}
    if not all(files.values()):
        raise ValueError(f"give {FILES_TEXT} as paths of files")
    if "ssl_keyfile" in files and "ssl_certfile" not in files:
        raise ValueError("ssl_keyfile needs ssl_certfile")
    checks = _CHECKS_CERTIFICATE.get(options.pop("ssl_cert_reqs", "required"))
    name = options.pop("ssl_check_hostname", "true").lower()
    if checks is None or name not in {"true", "false"}:
        raise ValueError("use ssl_cert_reqs=required or none, ssl_check_hostname=true or false")
    if any(option.startswith("ssl_") for option in options):
        raise ValueError(f"of TLS there are ssl_cert_reqs, ssl_check_hostname, {FILES_TEXT}")
    return {
        "ssl_cert_reqs": "required" if checks else "none",
        "ssl_check_hostname": checks and name == "true",
        **files,
    }


def _address_of_sentinels(
    parts: SplitResult, options: dict[str, str], tls: dict[str, Any]
) -> RedisAddress:
    service, _, database = parts.path[1:].partition("/")
    servers = tuple(
        (host.hostname or "", host.port or SENTINEL_PORT)
        for text in parts.netloc.rpartition("@")[2].split(",")
        for host in [urlsplit(f"//{text}")]
    )
    is_number = database.isascii() and database.isdigit() and len(database) < 5
    if not service or (database and not is_number) or not all(host for host, _ in servers):
        raise ValueError(FORM)
    name, password = options.pop("sentinel_username", None), options.pop("sentinel_password", None)
    if options:
        raise ValueError("of Sentinel there are the options sentinel_username, sentinel_password")
    return RedisAddress(
        "",
        tls,
        database=int(database or "0"),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        sentinels=Sentinels(servers, unquote(service), name, password),
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _without_none(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def celery_url(redis_url: str) -> str:
    """Return *redis_url* in Celery's form: `redis+socket://` for a unix socket.

    Celery reads user, password and database in their own places, and not among the options.
    """
    parts = urlsplit(redis_url)
    options = dict(parse_qsl(parts.query))
    name = parts.username or quote(options.pop("username", ""), safe="")
    password = parts.password or quote(options.pop("password", ""), safe="")
    user = f"{name}:{password}@" if name or password else ""
    database = options.pop("db", None)
    if parts.scheme == "unix":
        if database is not None:
            options["virtual_host"] = database
        scheme, address = "redis+socket", parts.path
    else:
        hosts = parts.netloc.rpartition("@")[2]
        scheme, address = (
            parts.scheme,
            f"{hosts}{parts.path if database is None else f'/{database}'}",
        )
    query = f"?{urlencode(options)}" if options else ""
    return f"{scheme}://{user}{address}{query}"
