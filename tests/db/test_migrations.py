"""The migrations, on both databases."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import inspect, text

from jobs_app.accounts import people, tokens
from jobs_app.accounts.principal import of_token
from jobs_app.core.errors import ConfigurationError, Unavailable
from jobs_app.core.roles import AccountKind, Role, Scope
from jobs_app.core.settings import Settings
from jobs_app.core.states import RunState
from jobs_app.db.columns import Base, new_run_id
from jobs_app.db.engine import Database
from jobs_app.db.migrations import alembic_config, is_below, migrate
from jobs_app.db.models.jobs import schedule_of
from jobs_app.jobs import revisions, service
from jobs_app.runs import history
from jobs_app.schedules.schedule import Schedule
from jobs_app.schedules.union import Schedules
from tests.factories import (
    HOUR,
    NOON,
    TASKS,
    claim,
    definition,
    make_job,
    make_run,
    make_worker,
    record,
    runs_of,
)


def test_a_database_that_is_gone_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    migrate(settings)
    file = tmp_path / "jobs.db"

    file.rename(tmp_path / "elsewhere.db")
    for _ in range(2):
        with pytest.raises(ConfigurationError) as raised:
            migrate(settings)
        # Somebody else has connected to it meanwhile.
        file.touch()
    file.unlink()
    (tmp_path / "elsewhere.db").rename(file)
    migrate(settings)

    assert str(file) in raised.value.detail
    assert str(settings.database_marker_file) in raised.value.detail


def test_without_its_marker_file_a_new_database_is_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    migrate(settings)

    (tmp_path / "jobs.db").unlink()
    settings.database_marker_file.unlink()
    migrate(settings)

    database = Database(settings.effective_database_url)
    assert "jobs" in inspect(database.engine).get_table_names()
    database.close()


def test_a_database_that_a_newer_version_has_migrated_is_refused_with_a_sentence(
    database_url: str, tmp_path: Path
) -> None:
    database = Database(database_url)
    with database.session() as session, session.begin():
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ConfigurationError, match="newer version"):
        migrate(Settings(database_url=database_url, data_dir=tmp_path))
    database.close()


ROOT = Path(__file__).parents[2]

#: The revisions, the oldest first.
REVISIONS = sorted(path.name[:4] for path in (ROOT / "migrations/versions").glob("[0-9]*.py"))
HEAD = REVISIONS[-1]

#: The revision before jobs could fire when jobs-app starts.
BEFORE_STARTS = "0030"


@pytest.mark.parametrize("target", [pytest.param("0003", marks=pytest.mark.nightly), "-5", "0002"])
def test_an_older_revision_is_gone_down_to(
    unmigrated_database_url: str, tmp_path: Path, target: str
) -> None:
    settings = Settings(database_url=unmigrated_database_url, data_dir=tmp_path)
    migrate(settings)

    before, after = migrate(settings, target)

    expected = REVISIONS[-6] if target == "-5" else target
    assert (before, after) == (HEAD, expected)
    assert migrate(settings, HEAD) == (after, HEAD)
    assert migrate(settings, HEAD) == (HEAD, HEAD)


@pytest.mark.parametrize("target", ["0099", "nothing", "+1", "-99", ""])
def test_a_revision_that_does_not_exist_is_refused_with_a_sentence(
    database_url: str, tmp_path: Path, target: str
) -> None:
    settings = Settings(database_url=database_url, data_dir=tmp_path)

    with pytest.raises(ConfigurationError, match="cannot be brought to the revision"):
        migrate(settings, target)

    assert migrate(settings) == (HEAD, HEAD)


#: An index that needs an extension of PostgreSQL, which may be missing.
OPTIONAL = {"ix_runs_words"}


# Indexes with expressions cannot be read from SQLite; they are compared in the next test.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based")
def test_migrations_and_models_are_equal(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, *_: name not in OPTIONAL,
            },
        )
        assert compare_metadata(context, Base.metadata) == []


def constraints(database: Database) -> dict[str, set[str]]:
    """Return the names of all checks and the definitions of all indexes, by table."""
    inspector = inspect(database.engine)
    is_sqlite = database.engine.dialect.name == "sqlite"
    query = (
        "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        if is_sqlite
        else "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    )
    with database.engine.connect() as connection:
        indexes = connection.exec_driver_sql(query).all()
    return {
        table: {str(check["name"]) for check in inspector.get_check_constraints(table)}
        | {
            # As PostgreSQL understands it, or as written for SQLite, without quotes and spaces.
            re.sub(r'["()\s]', "", sql) if is_sqlite else sql
            for of_table, name, sql in indexes
            if of_table == table and name not in OPTIONAL
        }
        for table in Base.metadata.tables
    }


def test_migrations_and_models_have_the_same_checks_and_indexes(database_url: str) -> None:
    migrated = Database(database_url)
    from_migrations = constraints(migrated)
    with migrated.engine.begin() as connection:
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)

    assert from_migrations == constraints(migrated)
    migrated.close()


def test_migrations_go_up_down_and_up_again(unmigrated_database_url: str, tmp_path: Path) -> None:
    settings = Settings(database_url=unmigrated_database_url, data_dir=tmp_path)
    database = Database(settings.effective_database_url)

    migrate(settings)
    job = make_job(database, cron="0 * * * *", concurrency_key="db-main")
    over, running = make_run(database, job), make_run(database, job, state=RunState.WAITING)
    assert claim(database, over, make_worker(database)) is not None
    migrate(settings, "0001")
    migrate(settings)
    with database.reading() as session:
        page, _ = history.page(session, history.Filter(job=job.name), before=None, limit=9)
    assert {run.id for run in page} == {over, running}
    migrate(settings, "base")
    assert set(inspect(database.engine).get_table_names()) <= {"alembic_version"}
    migrate(settings)
    assert "jobs" in inspect(database.engine).get_table_names()
    database.close()


RUN_OF_0006 = """
INSERT INTO runs (id, state, trigger, fires, task, kwargs, queue, priority, kill_grace_seconds,
    retry, max_attempts, is_exclusive, attempt, sends, created_at, finished_at, log_bytes,
    log_truncated)
VALUES ('{id}', '{state}', 'manual', 1, 'sleep', '{{}}', 'default', 5, 10,
    '{{}}', 1, false, 1, 0, '{at:%Y-%m-%d %H:%M:%S.%f}', {end}, 0, false)
"""


def test_a_run_that_was_over_without_an_end_stays_in_the_lists(
    unmigrated_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=unmigrated_database_url, data_dir=tmp_path)
    migrate(settings, "0006")
    database = Database(settings.effective_database_url)
    over, going_on = new_run_id(), new_run_id()
    with database.session() as session, session.begin():
        for run_id, state, end in ((over, "lost", "NULL"), (going_on, "queued", "'2026-06-15'")):
            session.execute(text(RUN_OF_0006.format(id=run_id.hex, state=state, end=end, at=NOON)))

    migrate(settings)

    for state, run_id in ((RunState.LOST, over), (RunState.QUEUED, going_on)):
        with database.reading() as session:
            page, _ = history.page(session, history.Filter(states=(state,)), before=None, limit=9)
        assert [run.id for run in page] == [run_id]
    database.close()


def test_two_processes_may_migrate_at_once(unmigrated_database_url: str, tmp_path: Path) -> None:
    code = "import sys; from jobs_app.db.migrations import migrate; "
    code += (
        "from jobs_app.core.settings import Settings; migrate(Settings(database_url=sys.argv[1]))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, unmigrated_database_url], stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    outcomes = [
        (process.communicate(timeout=60)[1][-2000:], process.returncode) for process in processes
    ]

    assert [code for _, code in outcomes] == [0, 0], outcomes
    database = Database(unmigrated_database_url)
    with database.engine.connect() as connection:
        heads = MigrationContext.configure(connection).get_current_heads()
    database.close()
    assert len(heads) == 1


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(alembic_config("sqlite://")).get_heads()) == 1


@pytest.mark.parametrize(
    "target, current, answer",
    [
        ("0003", "0008", True),
        ("0008", "0008", False),
        ("0008", "0003", False),
        ("head", "0003", False),
        ("base", None, True),
        ("-1", "0008", True),
        ("+1", "0003", False),
        ("0003", None, False),
        ("0003", "9999", False),
    ],
)
def test_older_revisions_are_below(target: str, current: str | None, answer: bool) -> None:
    assert is_below(target, current) is answer


@pytest.mark.parametrize("target", ["", "0099"])
def test_a_revision_that_does_not_exist_is_an_error(target: str) -> None:
    with pytest.raises(CommandError):
        is_below(target, "0008")


def test_a_database_that_cannot_be_opened_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://ann:hunter2@127.0.0.1:1/nowhere"

    with pytest.raises(Unavailable) as raised:
        migrate(Settings(database_url=url, data_dir=tmp_path))

    assert "127.0.0.1:1/nowhere" in raised.value.detail
    assert "hunter2" not in raised.value.detail


TOKEN_OF_0011 = (
    "INSERT INTO tokens (name, digest, created_at) VALUES ('ci', '{digest}', '2026-06-15')"
)


def test_tokens_of_before_belong_to_the_account_admin_and_lesser_ones_end_with_a_downgrade(
    unmigrated_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=unmigrated_database_url, data_dir=tmp_path)
    migrate(settings, "0011")
    database = Database(settings.effective_database_url)
    old = tokens.make()
    with database.session() as session, session.begin():
        session.execute(text(TOKEN_OF_0011.format(digest=tokens.digest(old))))

    migrate(settings)

    with database.session() as session:
        token, owner = tokens.known(session, old)
        assert token is not None
        assert owner is not None
        assert tokens.refusal(token, owner, at=NOON) is None
        caller = of_token(token, owner)
        assert (caller.account, caller.is_unlimited) == ("admin", True)
        viewer = people.Rights(Role.VIEWER)
        ann = people.create(session, "ann", AccountKind.PERSON, viewer, by="root", at=NOON)
        tokens.create(session, "of a viewer", owner=ann, at=NOON)
        for name, limits in (
            ("to read", tokens.Limits(scopes=[Scope.READ])),
            ("of a team", tokens.Limits(tags=["billing"])),
        ):
            tokens.create(session, name, owner=owner, limits=limits, at=NOON)

    migrate(settings, "0011")

    with database.session() as session:
        assert session.execute(text("SELECT name FROM tokens")).scalars().all() == ["ci"]
    database.close()


def test_a_job_of_before_0013_has_its_first_revisions_at_its_next_change(
    unmigrated_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(database_url=unmigrated_database_url, data_dir=tmp_path)
    migrate(settings)
    database = Database(settings.effective_database_url)
    job = make_job(database, priority=1)
    migrate(settings, "0012")

    migrate(settings)
    with database.session() as session:
        wanted = definition(priority=2)
        service.change(session, job, wanted, version=None, app=TASKS, by="ann", at=NOON)
        kept = revisions.page(session, job, before=None, limit=9)

    assert [(item.number, item.by, item.at) for item in kept] == [
        (2, "ann", NOON),
        (1, None, job.created_at),
    ]
    database.close()


def test_going_down_keeps_the_first_of_several_schedules(
    database: Database, tmp_path: Path
) -> None:
    parts = (Schedule(cron="0 9 * * *"), Schedule(cron="0 12 * * 6"))
    job = make_job(database, schedule=Schedules(parts))
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, data_dir=tmp_path)

    migrate(settings, "0021")
    migrate(settings, HEAD)

    with database.reading() as session:
        kept = service.get(session, job.name)
    assert schedule_of(kept) == replace(parts[0], seed=job.name)


def test_going_down_leaves_jobs_that_fire_on_start_by_hand_only(
    database: Database, tmp_path: Path
) -> None:
    on_start, hourly = Schedule(on="start"), Schedule(cron="0 * * * *")
    alone = make_job(database, schedule=on_start)
    first = make_job(database, schedule=Schedules((on_start, hourly)))
    second = make_job(database, schedule=Schedules((hourly, on_start)))
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, data_dir=tmp_path)

    migrate(settings, BEFORE_STARTS)
    migrate(settings, HEAD)

    with database.reading() as session:
        kept = [schedule_of(service.get(session, job.name)) for job in (alone, first, second)]
    assert kept == [None, None, replace(hourly, seed=second.name)]


def test_going_down_pauses_the_jobs_that_only_watch(database: Database, tmp_path: Path) -> None:
    watching, running = make_job(database, observe=True), make_job(database)
    record(database, watching, running, at=NOON)
    url = database.engine.url.render_as_string(hide_password=False)
    settings = Settings(database_url=url, data_dir=tmp_path)

    migrate(settings, "0023")
    migrate(settings, HEAD)

    with database.reading() as session:
        paused, active = (service.get(session, name) for name in (watching.name, running.name))
    assert (paused.state, paused.paused_by, paused.next_fire_at) == ("paused", "jobs-app", None)
    assert (active.state, active.next_fire_at) == ("active", NOON + HOUR)
    assert runs_of(database, watching) == []
    assert [run.state for run in runs_of(database, running)] == [RunState.QUEUED]
