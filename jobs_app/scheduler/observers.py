"""What a scheduler tells others: the counters of /metrics, traces of runs, and its heartbeat."""

from jobs_app.core.settings import Settings
from jobs_app.db.counters import PendingCounts
from jobs_app.db.engine import Database
from jobs_app.scheduler.heartbeat_url import HeartbeatUrl
from jobs_app.scheduler.metrics_thread import MetricsThread
from jobs_app.scheduler.trace_export import TraceExport
from jobs_app.tasks.installation_policy import http_policy


class Observers:
    """The threads beside the tick; they never hold it up."""

    def __init__(self, database: Database, settings: Settings) -> None:
        #: What this process counts for /metrics.
        self.counts = PendingCounts()
        policy = http_policy(settings)
        self._traces: TraceExport | None = None
        if settings.otlp_url is not None:
            self._traces = TraceExport(settings.otlp_url, policy)
        self._metrics = MetricsThread(
            database,
            self.counts,
            settings.job_series,
            on_spans=None if self._traces is None else self._traces.add,
        )
        self._heartbeat: HeartbeatUrl | None = None
        if settings.heartbeat_url is not None:
            self._heartbeat = HeartbeatUrl(
                settings.heartbeat_url, policy, seconds=settings.heartbeat_url_seconds
            )
        self._has_failed = False

    def start(self) -> None:
        """Start the threads."""
        self._metrics.start()
        if self._traces is not None:
            self._traces.start()
        if self._heartbeat is not None:
            self._heartbeat.start()

    def stop(self) -> None:
        """Stop the threads, and write what was counted."""
        self._metrics.stop()
        if self._traces is not None:
            self._traces.stop()
        if self._heartbeat is not None:
            self._heartbeat.stop()

    def tick_failed(self) -> None:
        """Note that this tick has failed: it is no sign of life."""
        self._has_failed = True

    def ticked(self, monotonic: float, *, is_active: bool) -> None:
        """Note that a tick has ended; a standby calls no URL, as exactly one scheduler may."""
        has_failed, self._has_failed = self._has_failed, False
        if self._heartbeat is not None and is_active and not has_failed:
            self._heartbeat.beat(monotonic)
