"""Settings with secrets reach a process through a pipe, and leave its environment."""

import os

import pytest

from jobs_app.core import handed_settings
from jobs_app.core.settings import Settings


@pytest.fixture(autouse=True)
def _nothing_handed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed_settings, "_values", {})


def test_settings_that_were_sent_are_read_before_the_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JOBS_REDIS_URL", "redis://variable")
    reading, writing = os.pipe()

    handed_settings.send(writing, {"redis_url": "redis://sent", "secret_key": "k"})
    handed_settings.receive(reading)

    settings = Settings()
    assert (settings.redis_url, settings.secret_key) == ("redis://sent", "k")
    assert Settings(redis_url="redis://typed").redis_url == "redis://typed"


@pytest.mark.parametrize("name", ["JOBS_SMTP_URL", "jobs_smtp_url"])
def test_a_secret_leaves_the_environment_and_stays_a_setting(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "smtp://u:canary@localhost")

    handed_settings.take_from_environment(Settings.secret_fields())

    assert "canary" not in str(os.environ)
    assert Settings().smtp_url == "smtp://u:canary@localhost"


def test_each_setting_that_holds_an_address_with_a_password_or_a_key_is_secret() -> None:
    may_be_secret = {
        name
        for name in Settings.model_fields
        if name.endswith(("_url", "_key", "_password", "_token"))
    }

    assert may_be_secret - Settings.secret_fields() == {"public_url"}


def test_no_secret_is_in_the_text_of_the_settings() -> None:
    settings = Settings(
        redis_url="redis://:canary@r", database_url="postgresql://u:canary@d/x", secret_key="canary"
    )

    assert "canary" not in repr(settings)
