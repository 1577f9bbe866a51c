"""Settings: each is documented, and a wrong one is refused with its name."""

import traceback
from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.observing_settings import ObservingSettings
from jobs_app.core.setting_types import without_secrets
from jobs_app.core.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def rows() -> list[str]:
    """Return the table of docs/settings.md as the code has it."""
    table = []
    # The settings of the base class come last.
    last = ObservingSettings.model_fields
    for name in sorted(Settings.model_fields, key=last.__contains__):
        field = Settings.model_fields[name]
        default = "-" if field.default in (None, "") else f"`{_shown(field.default)}`"
        if name == "data_dir":
            default = "`~/.local/share/jobs-app`"
        table.append(f"| `JOBS_{name.upper()}` | {default} | {field.description} |")
    return table


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_setting_is_documented_with_its_default() -> None:
    documented = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `JOBS_")]

    assert documented == rows()


@pytest.mark.parametrize(
    "name, value",
    [
        ("port", "70000"),
        ("timezone", "Mars/Olympus"),
        ("log_level", "LOUD"),
        ("web_threads", "0"),
        ("worker_pool", "fast"),
        ("shells", "bash"),
        ("shells", "/bin/bash,zsh"),
        ("database_url", "jobs.db"),
        ("database_url", "mysql://db/jobs"),
        ("redis_url", "127.0.0.1:6379"),
        ("http_allow", "http://intranet.example"),
        ("http_allow", "10.0.0.0/33"),
        ("celery_allow", "redis://h"),
        ("smtp_url", "mail.example.com:587"),
        ("smtp_url", "smtp://"),
        ("smtp_url", "smtp://mail.example.com:99999"),
        ("smtp_url", "smtp://mail.example.com?tls=perhaps"),
        ("smtp_url", "smtps://mail.example.com?tls=none"),
        ("smtp_url", "smtp://mail.example.com?cafile=/etc/ca.pem"),
    ],
)
def test_a_wrong_value_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"JOBS_{name.upper()}", value)

    with pytest.raises(ValidationError, match=name):
        Settings()


@pytest.mark.parametrize(
    "url, sqlalchemy_url",
    [
        ("postgresql://db/jobs", "postgresql+psycopg://db/jobs"),
        ("postgres://db/jobs", "postgresql+psycopg://db/jobs"),
        ("postgresql+psycopg://db/jobs", "postgresql+psycopg://db/jobs"),
        ("sqlite:////tmp/jobs.db", "sqlite:////tmp/jobs.db"),
    ],
)
def test_the_database_url_names_our_driver(url: str, sqlalchemy_url: str) -> None:
    assert Settings(database_url=url).effective_database_url == sqlalchemy_url


def test_redis_is_found_in_the_data_directory_or_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="JOBS_REDIS_URL"):
        _ = Settings(data_dir=tmp_path).effective_redis_url

    (tmp_path / "redis-url").write_text("redis://127.0.0.1:1/0\n")

    assert Settings(data_dir=tmp_path).effective_redis_url == "redis://127.0.0.1:1/0"


def test_modules_and_queues_are_lists_with_commas() -> None:
    settings = Settings(imports=" a.b , c ", worker_queues="one,two")

    assert settings.import_modules == ("a.b", "c")
    assert settings.queues == ("one", "two")


@pytest.mark.parametrize(
    "name, value",
    [
        ("redis_url", "redis://:SEK/RET@redis:6379/0"),
        ("redis_url", "redis://:12/SEK@redis:6379/0"),
        ("redis_url", "redis://u:SEK#RET@redis"),
        ("redis_url", "redis://:SEK?RET@redis"),
        ("redis_url", "redis://[SEK]RET@redis"),
        ("database_url", "postgresql://u:SEK/RET@db/jobs"),
        ("database_url", "postgresql://u:12/SEK@db/jobs"),
        ("database_url", "postgresql://u:SEK[RET@db/jobs"),
        ("smtp_url", "smtp://u:SEK/RET@mail"),
        ("port", "SEK"),
    ],
)
def test_a_refusal_never_shows_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"JOBS_{name.upper()}", value)

    with pytest.raises(ValidationError) as refused:
        Settings()

    shown = "".join(traceback.format_exception(refused.value)) + repr(refused.value)
    assert "SEK" not in shown
    assert name in shown


@pytest.mark.parametrize(
    "value",
    [
        "redis://:p%2Fw%40@redis:6379/0",
        "redis://redis",
        "rediss://u:p@redis:1/2?ssl_cert_reqs=none",
        "unix:///run/a@b.sock?db=1",
        "unix://:p@/run/redis.sock",
    ],
)
def test_a_url_of_redis_that_can_be_read_is_taken(value: str) -> None:
    assert Settings(redis_url=value).redis_url == value


@pytest.mark.parametrize(
    "url, shown",
    [
        ("postgresql://u:SEK@db:1/jobs?password=RET", "postgresql://u:***@db:1/jobs?…"),
        ("postgresql+psycopg://db/jobs?sslmode=require", "postgresql+psycopg://db/jobs?…"),
        ("sqlite:////data/jobs.db", "sqlite:////data/jobs.db"),
        ("postgresql://u@a:1,b:2/jobs", "postgresql://u@a:1,b:2/jobs"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert without_secrets(url) == shown


@pytest.mark.parametrize(
    "written, effective",
    [
        (None, "sqlite:///{}/data/jobs.db"),
        ("sqlite:///own.db?timeout=3", "sqlite:///{}/own.db?timeout=3"),
        ("sqlite:////srv/own.db", "sqlite:////srv/own.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
    ],
)
def test_paths_stay_what_they_were_when_a_module_changes_the_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str | None, effective: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOBS_DATA_DIR", "data")

    settings = Settings(database_url=written)

    assert settings.data_dir == tmp_path / "data"
    assert settings.effective_database_url == effective.format(tmp_path)
