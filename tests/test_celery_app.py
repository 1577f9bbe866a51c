"""Our Celery application: its broker is that of the settings, and it has no result backend."""

from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from cryptography.fernet import Fernet

from jobs_app.celery_app import JobsLoader, make_celery
from jobs_app.core.settings import Settings

VARIABLES = {
    "CELERY_BROKER_URL": "redis://elsewhere/1",
    "CELERY_BROKER_READ_URL": "redis://elsewhere/2",
    "CELERY_BROKER_WRITE_URL": "redis://elsewhere/3",
    "CELERY_RESULT_BACKEND": "redis://elsewhere/4",
    "CELERY_CONFIG_MODULE": "no_such_module",
    "CELERY_LOADER": "default",
}


@pytest.mark.parametrize(
    "url, uri",
    [
        ("redis://ours:6380/5", "redis://ours:6380/5"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock"),
    ],
)
def test_variables_of_celery_name_no_other_broker_and_no_result_backend(
    monkeypatch: pytest.MonkeyPatch, url: str, uri: str
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    app: Any = make_celery(Settings(redis_url=url))

    connections = [
        app.connection_for_read(),
        app.connection_for_write(),
        app.connection(),
        app.broker_connection(),
        app.pool.connection,
        app.producer_pool.connections.connection,
    ]
    uris = {connection.as_uri().replace(":**@", "").rstrip("/") for connection in connections}
    assert uris == {uri}
    assert type(app.backend).__name__ == "DisabledBackend"
    assert isinstance(app.loader, JobsLoader)
    assert app.conf.task_always_eager is False


@pytest.fixture
def app(redis_url: str) -> Celery:
    settings = Settings(
        redis_url=redis_url,
        redis_prefix=f"{uuid4()}:",
        secret_key=Fernet.generate_key().decode(),
    )
    return make_celery(settings)


def test_a_task_that_waits_for_the_result_of_another_gets_an_error(app: Celery) -> None:
    @app.task(shared=False, name="tests.leaf")
    def leaf(x: int) -> int:
        """Return its argument."""
        return x

    @app.task(shared=False, name="tests.waits_for_a_leaf")
    def waits_for_a_leaf() -> object:
        """Wait for another task."""
        return leaf.delay(1).get(timeout=3)

    answer = waits_for_a_leaf.apply()

    assert answer.failed()
    assert isinstance(answer.result, NotImplementedError | RuntimeError)
    assert "backend" in str(answer.result) or "Never call result.get()" in str(answer.result)
