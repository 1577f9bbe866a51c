"""A web server without `up` shows how the first admin is made, while there is none."""

from pathlib import Path

import pytest

from jobs_app.accounts import links, people
from jobs_app.accounts.people import Rights
from jobs_app.core import clock
from jobs_app.core.roles import AccountKind, LinkKind, Role
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.web import first_start

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_each_start_shows_a_link_of_its_own_until_there_is_a_person(
    settings: Settings, database: Database
) -> None:
    shown: list[str] = []
    for _ in range(2):
        first_start.prepare(settings, shown.append)
    keys = [link.removeprefix("http://127.0.0.1:5000/links/") for link in shown]
    with database.session() as session:
        for key in keys:
            assert links.find(session, key, at=clock.now())[0].kind is LinkKind.WELCOME
        rights = Rights(Role.VIEWER)
        people.create(session, "ann", AccountKind.PERSON, rights, by="root", at=clock.now())
    first_start.prepare(settings, shown.append)

    assert len(set(keys)) == len(shown) == 2
    assert settings.admin_token_file.exists()


def test_a_database_that_is_not_ready_stops_no_server(
    tmp_path: Path, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path / 'empty.db'}")
    first_start.prepare(settings, lambda link: pytest.fail("nobody can use it"))

    assert "no_admin_token" in caplog.text
