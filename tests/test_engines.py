"""An engine that is lent again is as good as a new one."""

import pytest
from sqlalchemy import event, text

from tests.engines import EnginePool


def test_an_engine_is_lent_again_without_connections(database_url: str) -> None:
    pool = EnginePool()
    with pool.lend(database_url) as database, database.session() as session:
        session.execute(text("SELECT 1"))
    engine = database.engine

    with pool.lend(database_url) as database:
        assert database.engine is engine
        assert engine.pool.checkedin() == 0  # type: ignore[attr-defined]  # QueuePool has it
        with pool.lend(database_url) as other, pool.lend(database_url, has_single=True) as single:
            assert len({id(lent.engine) for lent in (database, other, single)}) == 3


@pytest.mark.parametrize("name", ["before_cursor_execute", "commit", "checkin", "do_execute"])
def test_an_engine_that_was_listened_to_is_not_lent_again(database_url: str, name: str) -> None:
    pool = EnginePool()
    with pool.lend(database_url) as database:
        event.listen(database.engine, name, lambda *_: None)

    with pool.lend(database_url) as other:
        assert other.engine is not database.engine
