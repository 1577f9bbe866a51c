"""The id of the installation."""

import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from jobs_app.core.settings import Settings
from jobs_app.db import installation
from jobs_app.db.engine import Database
from jobs_app.db.migrations import migrate
from jobs_app.db.models.processes import Installation


def test_a_database_has_an_id_of_its_own_that_a_copy_shares(tmp_path: Path) -> None:
    ids = []
    for name in ("one", "two"):
        settings = Settings(database_url=f"sqlite:///{tmp_path / name}.db")
        migrate(settings)
        migrate(settings)
    shutil.copyfile(tmp_path / "one.db", tmp_path / "copy.db")
    for name in ("one", "two", "copy"):
        opened = Database(f"sqlite:///{tmp_path / name}.db")
        with opened.reading() as session:
            ids.append(installation.installation_id(session))
        with opened.session() as session:
            session.add(Installation(number=2, id=uuid4()))
            with pytest.raises(IntegrityError):
                session.flush()
        opened.close()

    assert None not in ids
    assert ids[0] == ids[2] != ids[1]
