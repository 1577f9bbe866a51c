"""/metrics: the state of the installation in the text format of Prometheus."""

from collections import Counter
from collections.abc import Iterable, Iterator
from threading import Lock

from flask import Flask, Response, current_app, request
from flask_openapi3 import Tag

from jobs_app.core import clock
from jobs_app.web.api.late_blueprint import LateBlueprint
from jobs_app.web.api.openapi import TEXT, problems
from jobs_app.web.metric_families import PREFIX, Family, families
from jobs_app.web.session import session

api = LateBlueprint("metrics", __name__, abp_tags=[Tag(name="metrics", description="Prometheus.")])

#: The name of the route, for the table of permissions.
ROUTE = "metrics.metrics"

#: The key of the counted requests in the extensions of an application.
REQUESTS = "jobs_app_requests"


class RequestCounts:
    """The requests that this process has answered, by method and status."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def add(self, method: str, status: int) -> None:
        """Count a request."""
        with self._lock:
            self._counts[method, str(status)] += 1

    def family(self) -> Family:
        """Return the metric of the requests so far."""
        family = Family(
            "web_requests",
            "counter",
            "Requests that this web process has answered.",
            ("method", "status"),
        )
        with self._lock:
            counts = sorted(self._counts.items())
        for labels, count in counts:
            family.add(count, *labels, suffix="_total")
        return family


def init_app(app: Flask) -> None:
    """Count the requests to *app*."""
    counts = app.extensions[REQUESTS] = RequestCounts()

    @app.after_request
    def count(response: Response) -> Response:
        # Only methods that a route has: anybody can invent others.
        method = request.method if request.url_rule is not None else "other"
        counts.add(method, response.status_code)
        return response


@api.get("/metrics", responses={**TEXT, **problems()})
def metrics() -> Response:
    """Tell a Prometheus the state of schedulers, queues, workers, runs and notifications.

    The token needs the scope `read`, and no limit to tags. No query reads the history of runs.
    """
    requests: RequestCounts = current_app.extensions[REQUESTS]
    read = [*families(session(), at=clock.now()), requests.family()]
    # Nothing may be held while a slow client reads.
    session().rollback()
    text, content_type = exposition(read)
    return Response(text, content_type=content_type)


def exposition(read: Iterable[Family]) -> tuple[bytes, str]:
    """Return the families and what the library knows of this process, and their media type."""
    # Most web processes are never asked for it.
    from prometheus_client import (  # noqa: PLC0415 (see above)
        CONTENT_TYPE_PLAIN_0_0_4,
        CollectorRegistry,
        Metric,
        ProcessCollector,
        generate_latest,
    )

    class Collector:
        def collect(self) -> Iterator[Metric]:
            for family in read:
                metric = Metric(PREFIX + family.name, family.help, family.kind)
                for suffix, labels, value in family.samples:
                    metric.add_sample(PREFIX + family.name + suffix, labels, value)
                yield metric

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector())
    ProcessCollector(registry=registry)
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4
