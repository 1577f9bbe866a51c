"""Tokens: shown once, stored as a hash."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from jobs_app.accounts import audit, people, tokens
from jobs_app.core.errors import Conflict, NotFound
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


def test_a_revoked_token_is_not_found_and_others_are(database: Database) -> None:
    with database.session() as session:
        leaked = tokens.create(session, "leaked", at=NOON)
        other = tokens.create(session, "other", at=NOON)

        tokens.revoke(session, "leaked", by="ann", at=NOON)

        assert tokens.find(session, leaked, at=NOON) is None
        assert tokens.find(session, other, at=NOON) is not None
        assert [row.Token.name for row in tokens.listed(session)] == ["other"]
        assert tokens.refusal(*tokens.known(session, leaked), at=NOON) == "revoked"
        assert [
            event.detail for event in audit.page(session, audit.EventFilter(), before=None, limit=1)
        ] == [{"token": "leaked"}]


def test_a_name_is_used_once_and_an_unknown_one_is_named(database: Database) -> None:
    with database.session() as session:
        tokens.create(session, "ci", at=NOON)

        with pytest.raises(Conflict, match="'ci'"):
            tokens.create(session, "ci", at=NOON)
        tokens.revoke(session, "ci", by="ann", at=NOON)
        tokens.create(session, "ci", at=NOON)
        with pytest.raises(NotFound, match="There are: ci"):
            tokens.revoke(session, "cj", by="ann", at=NOON)


def test_an_account_has_a_hundred_tokens_that_work_at_most(database: Database) -> None:
    with database.session() as session:
        owner = people.service_account(session, "ci", by="tester", at=NOON)
        end = NOON + timedelta(days=1)
        session.add_all(
            Token(name=f"t{n}", digest=str(n), owner_id=owner.id, created_at=NOON, expires_at=end)
            for n in range(tokens.MAX_TOKENS)
        )
        session.commit()

        with pytest.raises(Conflict, match="'ci' has 100 tokens that work") as raised:
            tokens.create(session, "one-more", owner=owner, at=NOON)
        tokens.revoke(session, "t7", by="tester", at=NOON)
        assert tokens.create(session, "instead", owner=owner, at=NOON)
        # The others have ended by then.
        assert tokens.create(session, "later", owner=owner, at=end)

    assert raised.value.code == "too_many_tokens"
