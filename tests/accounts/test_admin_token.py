"""The admin's token: made once, in a file that only its owner reads, and revoked with the file."""

import os
import stat
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from jobs_app.accounts import admin_token, tokens
from jobs_app.accounts.principal import of_token
from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.migrations import migrate
from jobs_app.db.models.accounts import Token
from tests.factories import NOON


def test_the_admin_token_is_made_once_and_only_its_owner_may_read_it(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)

    path = admin_token.ensure_admin_token(settings)
    first = path.read_text()
    again = admin_token.ensure_admin_token(settings).read_text()

    assert first == again
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_admin_token_file_that_was_left_empty_is_written_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    settings.admin_token_file.touch(mode=0o600)

    path = admin_token.ensure_admin_token(settings)

    with database.reading() as session:
        assert tokens.find(session, path.read_text().strip(), at=NOON) is not None
        assert tokens.find(session, "", at=NOON) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob(".token-*")] == []


def test_a_web_server_makes_a_token_only_for_an_installation_without_any(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with database.session() as session:
        tokens.create(session, "ci", at=NOON)
    settings = Settings(data_dir=tmp_path / "late", database_url=database_url)
    admin_token.ensure_first_token(settings)
    assert not settings.admin_token_file.exists()

    with database.session() as session, session.begin():
        session.execute(delete(Token))
    admin_token.ensure_first_token(settings)

    assert settings.admin_token_file.exists()


def test_an_admin_token_file_is_made_valid_on_another_database(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    token = tokens.make()
    settings.admin_token_file.touch(mode=0o600)
    settings.admin_token_file.write_text(f"{token}\n")

    admin_token.ensure_admin_token(settings)

    with database.reading() as session:
        assert tokens.find(session, token, at=NOON) is not None


def test_the_token_in_the_file_has_all_rights_whatever_the_database_says(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    token = admin_token.ensure_admin_token(settings).read_text().strip()
    with database.session() as session:
        lesser = {"owner_id": None, "scopes": ["read"], "tags": ["billing"]}
        session.execute(update(Token).values(**lesser))
        session.commit()

    admin_token.ensure_admin_token(settings)

    with database.reading() as session:
        row, owner = tokens.known(session, token)
    assert row is not None
    assert owner is not None
    assert of_token(row, owner).is_unlimited


def works(settings: Settings, token: str) -> bool:
    database = Database(settings.effective_database_url)
    try:
        with database.reading() as session:
            return tokens.find(session, token, at=NOON) is not None
    finally:
        database.close()


def put(path: Path, token: str) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(token)


@pytest.mark.parametrize("is_embedded", [True, False])
@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_file_that_was_removed_or_replaced_revokes_the_token_it_held(
    database_url: str, tmp_path: Path, is_embedded: bool, is_replaced: bool
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=None if is_embedded else database_url)
    if is_embedded:
        migrate(settings)
    path = admin_token.ensure_admin_token(settings)
    old, own = path.read_text().strip(), tokens.make()
    path.unlink()
    if is_replaced:
        put(path, own)

    # As `jobs-app web` does it; `jobs-app up` calls the same function.
    admin_token.ensure_first_token(settings)

    new = path.read_text().strip()
    assert (new == own) is is_replaced
    assert works(settings, new)
    assert not works(settings, old)


def test_two_machines_with_one_database_keep_a_token_each(
    database_url: str, tmp_path: Path
) -> None:
    machines = [
        Settings(data_dir=tmp_path / name, database_url=database_url) for name in ("a", "b")
    ]
    for settings in machines:
        settings.data_dir.mkdir()

    paths = [admin_token.ensure_admin_token(settings) for settings in machines * 2]

    assert all(works(machines[0], path.read_text().strip()) for path in paths)


@pytest.mark.parametrize(
    "token", ["weak", "jobs_", "jobs_" + "x" * 42, "jobs_" + "é" * 43, "a" * 60]
)
def test_a_token_that_was_not_made_here_is_refused(
    database_url: str, tmp_path: Path, token: str
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    settings.admin_token_file.touch(mode=0o600)
    settings.admin_token_file.write_text(token)

    with pytest.raises(ConfigurationError, match="admin-token"):
        admin_token.ensure_admin_token(settings)

    assert not works(settings, token)


def test_a_token_that_others_can_read_is_refused(database_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    put(settings.admin_token_file, tokens.make())
    settings.admin_token_file.chmod(0o644)

    with pytest.raises(ConfigurationError, match="Others can read "):
        admin_token.ensure_admin_token(settings)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_token_of_another_user_is_refused(database_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    put(settings.admin_token_file, tokens.make())
    os.chown(settings.admin_token_file, 23456, -1)

    with pytest.raises(ConfigurationError, match="belongs to another user"):
        admin_token.ensure_admin_token(settings)


def test_the_header_for_curl_holds_the_token_and_is_its_owners_alone(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)

    token = admin_token.ensure_admin_token(settings).read_text().strip()

    header = settings.admin_token_header_file
    assert header.read_text() == f"Authorization: Bearer {token}\n"
    assert stat.S_IMODE(header.stat().st_mode) == 0o600
    assert {path.name for path in tmp_path.iterdir()} >= {"admin-token", "admin-token.header"}
    assert not list(tmp_path.glob(".token-*"))
