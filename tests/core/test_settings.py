"""Settings: each is documented, and a wrong one is refused with its name."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def rows() -> list[str]:
    """Return the table of docs/settings.md as the code has it."""
    table = []
    for name, field in Settings.model_fields.items():
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
        ("database_url", "jobs.db"),
        ("database_url", "mysql://db/jobs"),
        ("redis_url", "127.0.0.1:6379"),
        ("http_allow", "http://intranet.example"),
        ("http_allow", "10.0.0.0/33"),
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
