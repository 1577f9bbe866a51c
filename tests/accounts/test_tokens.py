"""Tokens: shown once, stored as a hash."""

import stat
from pathlib import Path

from sqlalchemy import delete, select

from jobs_app.accounts import tokens
from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.db.models.accounts import Token
from tests.factories import NOON, SECOND


def test_a_token_is_found_and_its_text_is_nowhere_in_the_database(database: Database) -> None:
    with database.session() as session:
        token = tokens.create(session, "ci", at=NOON)
        found = tokens.find(session, token, at=NOON)
        stored = session.scalars(select(Token)).one()

    assert found is not None
    assert found.name == "ci"
    assert token not in str(stored.__dict__)


def test_an_unknown_or_expired_token_is_not_found(database: Database) -> None:
    with database.session() as session:
        token = tokens.create(session, "ci", at=NOON, expires_at=NOON + SECOND)

        assert tokens.find(session, token, at=NOON) is not None
        assert tokens.find(session, token, at=NOON + SECOND) is None
        assert tokens.find(session, token + "x", at=NOON) is None
        assert tokens.find(session, "", at=NOON) is None


def test_the_admin_token_is_made_once_and_only_its_owner_may_read_it(
    database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)

    path = tokens.ensure_admin_token(settings)
    first = path.read_text()
    again = tokens.ensure_admin_token(settings).read_text()

    assert first == again
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_admin_token_file_that_was_left_empty_is_written_again(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    settings.admin_token_file.touch(mode=0o600)

    path = tokens.ensure_admin_token(settings)

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
    tokens.ensure_first_token(settings)
    assert not settings.admin_token_file.exists()

    with database.session() as session, session.begin():
        session.execute(delete(Token))
    tokens.ensure_first_token(settings)

    assert settings.admin_token_file.exists()


def test_an_admin_token_file_is_made_valid_on_another_database(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)
    settings.admin_token_file.write_text("jobs_from-elsewhere\n")

    tokens.ensure_admin_token(settings)

    with database.reading() as session:
        assert tokens.find(session, "jobs_from-elsewhere", at=NOON) is not None
