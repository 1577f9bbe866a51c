"""The tests of this folder share an application for each database, which takes long to make."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from jobs_app.core.settings import Settings
from jobs_app.web.app import create_app
from tests.servers import DatabasePool
from tests.web.conftest import close


@pytest.fixture(scope="session")
def api_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of the applications, in which the file of SQLite is."""
    return tmp_path_factory.mktemp("api")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, api_folder: Path) -> Iterator[str]:
    """The URL of a migrated, empty database: on SQLite always the same one."""
    if request.param == "sqlite":
        for file in api_folder.glob("jobs.db*"):
            # Not written over: whoever still has it open keeps it.
            file.unlink()
        shutil.copyfile(request.getfixturevalue("migrated_sqlite"), api_folder / "jobs.db")
        yield f"sqlite:///{api_folder / 'jobs.db'}"
        return
    pool: DatabasePool = request.getfixturevalue("migrated_postgres")
    url = pool.take()
    yield url
    pool.give_back(url)


@pytest.fixture
def settings(database_url: str, api_folder: Path) -> Settings:
    """Settings on a migrated database, with no Redis: nothing here may need it."""
    return Settings(data_dir=api_folder, database_url=database_url)


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
