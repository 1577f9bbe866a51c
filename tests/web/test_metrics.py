"""/metrics: its format, and who may read it."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask

from jobs_app import __version__
from jobs_app.core.settings import Settings
from jobs_app.web.app import create_app
from tests.web.conftest import Api, close

#: https://prometheus.io/docs/instrumenting/exposition_formats/: no sample has a timestamp.
SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
LABEL = re.compile(r'[a-z_]+="([^"]*)"')


def values(text: str) -> dict[tuple[str, ...], float]:
    """Return the samples of an answer: the name, then the values of the labels."""
    samples = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            samples[match["name"], *LABEL.findall(match["labels"] or "")] = float(match["value"])
    return samples


def test_a_scrape_is_text_that_prometheus_reads(api: Api) -> None:
    api.get("/jobs")
    api.get("/nowhere")

    answer = api.get("//metrics")

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = values(answer.text)
    assert samples["jobs_app_build_info", __version__] == 1
    assert samples["jobs_app_web_requests_total", "GET", "200"] == 1
    assert samples["jobs_app_web_requests_total", "other", "404"] == 1
    assert samples["process_resident_memory_bytes",] > 0


def test_a_token_needs_the_scope_read_and_all_jobs(api_of: Callable[..., Api]) -> None:
    statuses = [
        api_of("viewer", scopes=("read",)).get("//metrics").status_code,
        api_of("viewer", scopes=("run",)).get("//metrics").status_code,
        api_of("viewer", scopes=("read",), tags=("billing",)).get("//metrics").status_code,
    ]

    assert statuses == [200, 403, 403]


@pytest.fixture
def open_app(settings: Settings) -> Iterator[Flask]:
    """The application with JOBS_METRICS_OPEN."""
    made = create_app(settings.model_copy(update={"metrics_open": True}))
    yield made
    close(made)


@pytest.mark.parametrize(
    "options, status",
    [
        ({}, 200),
        ({"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}, 401),
        ({"headers": {"X-Forwarded-For": "192.0.2.7"}}, 401),
        ({"headers": {"Authorization": "Bearer jobs_guess"}}, 401),
    ],
)
def test_without_a_token_only_this_machine_may_read_it_and_only_if_a_setting_says_so(
    open_app: Flask, app: Flask, options: dict[str, Any], status: int
) -> None:
    opened: Any = open_app.test_client().get("/metrics", **options)
    closed: Any = app.test_client().get("/metrics", **options)

    assert (opened.status_code, closed.status_code) == (status, 401)
    assert open_app.test_client().get("/api/v1/jobs", **options).status_code == 401
