"""An application for each database, which takes long to make, shared by the tests of a folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from jobs_app.core.settings import Settings
from jobs_app.web import extension, outage_line
from jobs_app.web.app import create_app
from jobs_app.web.pages import frame
from jobs_app.web.pages.regions import RegionCache
from tests.web.conftest import close


@pytest.fixture(scope="session")
def known_settings() -> dict[str, Settings]:
    """The settings of the applications, by the URLs of their databases."""
    return {}


@pytest.fixture
def settings(
    database_url: str, sqlite_folder: Path, known_settings: dict[str, Settings]
) -> Settings:
    """Settings on a migrated database, with no Redis: nothing here may need it."""
    if database_url not in known_settings:
        made = Settings(data_dir=sqlite_folder, database_url=database_url)
        known_settings[database_url] = made
    return known_settings[database_url]


@pytest.fixture(scope="session")
def apps() -> dict[str, Flask]:
    """The applications, by the URLs of their databases."""
    return {}


@pytest.fixture
def app(settings: Settings, apps: dict[str, Flask]) -> Iterator[Flask]:
    """The web application, without connections, as it was after the test before."""
    url = settings.effective_database_url
    if url not in apps:
        apps[url] = create_app(settings)
    yield apps[url]
    close(apps[url])
    _forget(apps[url])


def _forget(app: Flask) -> None:
    """Have *app* make anew what it keeps for a moment: it is of the test before."""
    app.extensions[frame.NAME] = RegionCache()
    line: outage_line.OutageLine = app.extensions[outage_line.NAME]
    line._until, line.text = 0.0, ""
    parts: extension.Extension = app.extensions[extension.NAME]
    parts._reports_until = 0.0
