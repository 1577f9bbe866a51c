"""The settings of logs, metrics and the heartbeat of the scheduler."""

from functools import cached_property

from pydantic import Field

from jobs_app.core.handed_settings import HandedSettings
from jobs_app.core.job_series import JobSeries, parse_job_series
from jobs_app.core.setting_types import HttpUrl, LogFormat, LogLevel, MetricsJobs


class ObservingSettings(HandedSettings):
    """What a person or a monitoring system sees of an installation."""

    log_level: LogLevel = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: LogFormat = Field(
        "text", description="`text`: lines for people; `json`: one JSON object a line."
    )
    metrics_open: bool = Field(
        False, description="Serve /metrics without a token to programs on this machine."
    )
    metrics_jobs: MetricsJobs = Field(
        "100",
        description="How many jobs have metrics of their own, the first that run; or their names, "
        "with commas and `*`. All others count as `(other)`.",
    )

    heartbeat_url: HttpUrl | None = Field(
        None,
        repr=False,
        description="URL that the active scheduler calls while it ticks, for a dead man's switch "
        "such as Healthchecks or Uptime Kuma.",
    )
    heartbeat_url_seconds: float = Field(
        60.0, ge=5, le=86_400, description="Time between two calls of JOBS_HEARTBEAT_URL, seconds."
    )

    otlp_url: HttpUrl | None = Field(
        None,
        repr=False,
        description="URL of an OpenTelemetry collector that gets a trace of each run: "
        "`http://HOST:4318/v1/traces`.",
    )

    @property
    def logs_json(self) -> bool:
        """Whether each line of the log is a JSON object."""
        return self.log_format == "json"

    @cached_property
    def job_series(self) -> JobSeries:
        """The jobs of JOBS_METRICS_JOBS."""
        return parse_job_series(self.metrics_jobs)
