"""Every setting: its name, default, unit and help, read from `JOBS_*` variables."""

from contextlib import suppress
from functools import cached_property
from pathlib import Path

import platformdirs
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from jobs_app.core.data_files import DataFiles
from jobs_app.core.derived_settings import DerivedSettings
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.field_spec import YEAR_SECONDS
from jobs_app.core.network_allowlist import OwnServer
from jobs_app.core.observing_settings import ObservingSettings
from jobs_app.core.policies import FirePolicy
from jobs_app.core.redis_address import REDIS_PORT, RedisAddress, redis_address
from jobs_app.core.secret_files import SECRETS_DIRECTORIES
from jobs_app.core.setting_types import (
    Accounts,
    AllowList,
    DatabaseUrl,
    DataDir,
    EnvFiles,
    PublicUrl,
    RedisUrl,
    RemoteControl,
    ShellLimits,
    Shells,
    SmtpUrl,
    Timezone,
    TrustedProxy,
    WorkerPool,
    servers_of,
)
from jobs_app.core.smtp_url import MailServer, mail_server
from jobs_app.core.states import CatchupPolicy, OverlapPolicy

_POLICY = FirePolicy()


class Settings(DataFiles, DerivedSettings, ObservingSettings):
    """The settings of one installation.

    Each field is read from the environment variable `JOBS_` + its name in capitals, or from a
    file with the same name in lower case in one of SECRETS_DIRECTORIES.
    """

    model_config = SettingsConfigDict(
        env_prefix="JOBS_",
        frozen=True,
        extra="ignore",
        # An input may be a password.
        hide_input_in_errors=True,
        secrets_dir=SECRETS_DIRECTORIES,
    )

    data_dir: DataDir = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("jobs-app")),
        description="Directory of the embedded database, Valkey, the admin token and the key.",
    )
    host: str = Field("127.0.0.1", description="Address that the web server listens on.")
    port: int = Field(5000, ge=0, le=65535, description="Port that the web server listens on.")
    plain_http: bool = Field(
        False, description="Allow a JOBS_HOST that other machines reach: a proxy protects it."
    )
    trusted_proxy: TrustedProxy | None = Field(
        None,
        description="IP address of the proxy whose `X-Forwarded-For` names the client, for the log "
        "and the audit; `*`: any.",
    )
    database_url: DatabaseUrl | None = Field(
        None, repr=False, description="SQLAlchemy URL; by default SQLite in the data directory."
    )
    redis_url: RedisUrl | None = Field(
        None,
        repr=False,
        description="URL of Redis or Valkey, or of its Sentinels; by default the one that `up` "
        "embeds.",
    )
    redis_prefix: str = Field(
        "jobs:",
        description="Prefix of every key in Redis; installations on one Redis need different ones.",
    )
    secret_key: str | None = Field(
        None,
        repr=False,
        description="Key that secrets are encrypted with, the same for every process; "
        "by default the file `secret-key` in the data directory.",
    )
    imports: str = Field("", description="Modules with your own Celery tasks, separated by commas.")
    command_tasks: str = Field(
        "", description="Your tasks that run any command, as `shell` does, with commas."
    )
    shells: Shells = Field(
        "/bin/sh,/bin/bash,/bin/dash,/bin/zsh,/usr/bin/bash,/usr/bin/dash,/usr/bin/zsh",
        description="Shells that `shell` jobs may name besides `/bin/sh`, with commas.",
    )
    shell_users: Accounts = Field(
        "",
        description="Accounts that `shell` jobs may name as `user`, with commas; the worker must "
        "run as root.",
    )
    shell_default_user: str | None = Field(
        None,
        min_length=1,
        description="Account that commands without `user` run as; the worker must run as root.",
    )
    shell_limits: ShellLimits = Field(
        "",
        description="Most that each command may use, as in `memory=2GiB,processes=200`.",
    )
    env_files: EnvFiles = Field(
        "",
        description="Files with variables for all commands, or with `TAG=` before the path for "
        "those of a tag, with commas.",
    )
    timezone: Timezone = Field(
        "UTC", description="IANA zone of schedules; under `up` the machine's."
    )
    demo_open: bool = Field(
        False, description="Serve /start-task and /task-status without a token, on loopback only."
    )

    web_threads: int = Field(8, ge=1, description="Threads of the web server.")
    max_streams: int | None = Field(
        None,
        ge=1,
        description="Most logs followed at once, fewer than the threads; by default 3 fewer.",
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="Largest request body, bytes.")

    worker_concurrency: int = Field(2, ge=1, description="Runs at once in a worker; `up`: 16.")
    worker_idle_processes: int | None = Field(
        None,
        ge=1,
        description="Processes of the pool prefork that stay while there is no work; the others "
        "start as runs come. By default all; `up`: 2.",
    )
    worker_pool: WorkerPool = Field(
        "prefork",
        description="Celery's pool: prefork, threads or solo; `up` without JOBS_IMPORTS: threads.",
    )
    worker_prefetch: bool = Field(
        True,
        description="Fetch messages early and write finishes late, which is faster for short runs; "
        "false: Celery's stock way, without hooks into its private parts (from Celery 5.6 on).",
    )
    new_privileges: bool = Field(
        False, description="Let programs of jobs gain rights by setuid files, as `sudo` (Linux)."
    )
    remote_control: RemoteControl = Field(
        "inspect",
        description="Celery's remote control: `inspect`: workers answer questions and obey no "
        "order; `all`: they obey too; `none`: they do neither.",
    )
    events: bool = Field(False, description="Send Celery's events, for Flower and exporters.")
    foreign_entries: bool = Field(
        False,
        description="Fire RedBeat entries that are neither a job's nor of a `beat_schedule`: "
        "whoever can write to Redis can then start tasks of JOBS_IMPORTS.",
    )
    worker_queues: str = Field("default", description="Queues that a worker serves, with commas.")
    worker_name: str | None = Field(
        None, description="Name of a worker, unique among all; by default host and process id."
    )
    log_limit_bytes: int = Field(
        1_048_576,
        ge=4096,
        description="Largest log of a run, bytes; of a longer one head and tail are kept.",
    )
    result_limit_bytes: int = Field(
        1_048_576, ge=1024, description="Largest JSON result of a run, bytes."
    )
    allow_private_addresses: bool = Field(
        False,
        description="Let http and celery tasks and notifications call private and loopback "
        "addresses.",
    )

    public_url: PublicUrl | None = Field(
        None,
        description="Address of the pages for people: for links, cookies, and a proxy's path.",
    )
    notify_per_minute: int = Field(
        20,
        ge=1,
        description="Most messages a minute to one channel; the last one summarises all others.",
    )
    notify_cool_down_seconds: float = Field(
        600.0,
        ge=0,
        description="Time in which a channel gets no second message about the same error of a job.",
    )
    http_allow: AllowList = Field(
        "",
        description="Private hosts and networks that http tasks and notifications may call, with "
        "commas: `intranet.example`, `*.corp.example`, `localhost:8080`, `10.0.0.0/8`.",
    )
    http_response_limit_bytes: int = Field(
        262_144, ge=1024, description="Most bytes of an answer that an http task may keep."
    )
    celery_allow: AllowList = Field(
        "",
        description="Private hosts and networks of the brokers that celery tasks may use, with "
        "commas, as in `JOBS_HTTP_ALLOW`.",
    )
    smtp_url: SmtpUrl | None = Field(
        None,
        repr=False,
        description="Mail server of email tasks: `smtp://USER:PASSWORD@HOST:587`, with STARTTLS, "
        "or `smtps://…:465`.",
    )
    smtp_from: str | None = Field(None, description="Sender of mails that name none.")

    default_overlap_policy: OverlapPolicy = Field(
        _POLICY.overlap_policy, description="`overlap_policy` of jobs that name none."
    )
    default_starting_deadline_seconds: int = Field(
        _POLICY.starting_deadline_seconds,
        ge=0,
        le=YEAR_SECONDS,
        description="`starting_deadline_seconds` of jobs that name none.",
    )
    default_catchup_policy: CatchupPolicy = Field(
        _POLICY.catchup_policy, description="`catchup_policy` of jobs that name none."
    )
    default_catchup_window_seconds: int = Field(
        _POLICY.catchup_window_seconds,
        ge=0,
        le=YEAR_SECONDS,
        description="`catchup_window_seconds` of jobs that name none.",
    )
    default_catchup_max_runs: int = Field(
        _POLICY.catchup_max_runs,
        ge=1,
        le=10_000,
        description="`catchup_max_runs` of jobs that name none.",
    )
    default_jitter_seconds: int = Field(
        0,
        ge=0,
        le=86_400,
        description="`jitter_seconds` of cron schedules, and of intervals longer than it.",
    )

    keep_runs: int = Field(
        10_000,
        ge=1,
        le=1_000_000_000,
        description="Newest runs kept of a job that sets no number, and as many failed ones.",
    )
    keep_days: int = Field(
        90, ge=1, le=36_500, description="How long runs that did not fail are kept, days."
    )
    keep_failed_days: int = Field(
        365, ge=1, le=36_500, description="How long failed, timed out and lost runs are kept, days."
    )
    keep_log_days: int = Field(
        90, ge=1, le=36_500, description="How long the logs of runs are kept, days."
    )
    keep_audit_days: int = Field(
        400, ge=1, le=36_500, description="How long the audit is kept, days."
    )

    scheduler_batch: int = Field(
        1000, ge=1, description="Most jobs that one transaction of the scheduler fires."
    )
    scheduler_lock_seconds: int = Field(
        8, ge=2, le=15, description="Lifetime of the active scheduler's lock, seconds."
    )
    heartbeat_seconds: float = Field(
        5.0, gt=0, description="Time between two heartbeats of a worker, seconds."
    )
    fence_seconds: float = Field(
        20.0, gt=0, description="Time without a heartbeat after which a worker kills its own runs."
    )
    lost_seconds: float = Field(
        30.0, gt=0, description="Time without a heartbeat after which a worker counts as gone."
    )

    @cached_property
    def own_servers(self) -> tuple[OwnServer, ...]:
        """The servers of the database and of Redis that are reached by network."""
        servers = servers_of("JOBS_DATABASE_URL", self.effective_database_url, 5432)
        # Without a URL of Redis there is no server to protect.
        with suppress(ConfigurationError):
            servers += servers_of("JOBS_REDIS_URL", self.effective_redis_url, REDIS_PORT)
        return tuple(servers)

    @cached_property
    def mail_server(self) -> MailServer | None:
        """The mail server of JOBS_SMTP_URL."""
        return None if self.smtp_url is None else mail_server(self.smtp_url)

    @cached_property
    def effective_database_url(self) -> str:
        """The SQLAlchemy URL, with psycopg 3 named for PostgreSQL."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir / 'jobs.db'}"
        scheme, separator, rest = self.database_url.partition("://")
        if scheme in {"postgres", "postgresql"}:
            return f"postgresql+psycopg{separator}{rest}"
        return self.database_url

    @cached_property
    def effective_redis_url(self) -> str:
        """The URL of Redis, as in JOBS_REDIS_URL.

        Without JOBS_REDIS_URL it is read from the file `redis-url` that `jobs-app up` writes in
        the data directory. Raises ConfigurationError if there is neither.
        """
        if self.redis_url is not None:
            return self.redis_url
        try:
            return self.redis_url_file.read_text().strip()
        except OSError as error:
            raise ConfigurationError(
                "No Redis is configured: set JOBS_REDIS_URL, or start `jobs-app up` first "
                f"(it writes {self.redis_url_file})."
            ) from error

    @cached_property
    def redis_address(self) -> RedisAddress:
        """Where Redis is, for each kind of client."""
        return redis_address(self.effective_redis_url)
