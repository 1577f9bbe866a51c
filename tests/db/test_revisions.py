"""The known revisions of the database."""

import subprocess
import sys

from alembic.script import ScriptDirectory

from jobs_app.db.migrations import alembic_config
from jobs_app.db.revisions import is_newer, known_revisions, newest_revision


def test_the_files_are_named_by_the_revisions_of_alembic_in_their_order() -> None:
    scripts = ScriptDirectory.from_config(alembic_config("sqlite://")).walk_revisions()
    assert known_revisions() == tuple(script.revision for script in scripts)[::-1]


def test_the_web_application_does_without_alembic() -> None:
    program = "import jobs_app.web.app, sys; print({'alembic', 'mako'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_only_an_unknown_revision_is_newer() -> None:
    assert not is_newer(None)
    assert not is_newer(newest_revision())
    assert is_newer("9999")
