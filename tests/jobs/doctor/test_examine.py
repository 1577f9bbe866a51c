"""All checks together: what cannot be looked at is skipped, and nothing is raised."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import Redis

from jobs_app.core.settings import Settings
from jobs_app.db.engine import Database
from jobs_app.jobs.doctor.examine import examine
from jobs_app.jobs.doctor.findings import Report
from tests.factories import NOON
from tests.servers import ValkeyServer


def report(settings: Settings, database: Database) -> Report:
    return examine(settings, database.reading, process="this process", at=NOON)


def checks(found: Report) -> set[str]:
    return {finding.check for finding in found.findings}


def test_without_redis_and_without_a_scheduler(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(
        data_dir=tmp_path, database_url=database_url, redis_url="redis://127.0.0.1:1/0"
    )

    found = report(settings, database)

    assert {"redis", "redis_password", "scheduler"} <= checks(found)
    assert found.skipped["redis_eviction"] == "Redis does not answer"
    assert {"database", "migrations", "queues", "secrets"} <= set(found.passed)


@pytest.mark.parametrize("password, reason", [("pw", "'get' command"), ("wrong", "password")])
def test_a_redis_that_refuses_a_user_or_a_command_answers(
    database: Database,
    database_url: str,
    valkey: ValkeyServer,
    tmp_path: Path,
    password: str,
    reason: str,
) -> None:
    url = urlsplit(valkey.url)
    few = url._replace(netloc=f"few:{password}@{url.netloc.rpartition('@')[2]}").geturl()
    with Redis.from_url(valkey.url) as redis:
        redis.execute_command("ACL", "SETUSER", "few", "on", ">pw", "~*", "+@all", "-get")
        try:
            found = report(
                Settings(data_dir=tmp_path, database_url=database_url, redis_url=few), database
            )
        finally:
            redis.execute_command("ACL", "DELUSER", "few")

    (finding,) = [finding for finding in found.findings if finding.check == "redis"]
    assert finding.sentence.startswith("Redis refuses")
    assert reason in finding.sentence
    assert "Start it" not in finding.remedy
    assert found.skipped["redis_prefix"] == "Redis refuses a command"


def test_no_redis_is_configured(database: Database, database_url: str, tmp_path: Path) -> None:
    found = report(Settings(data_dir=tmp_path, database_url=database_url), database)

    (finding,) = [finding for finding in found.findings if finding.check == "redis"]
    assert finding.sentence.startswith("No Redis is configured")
    assert "jobs-app up" in finding.remedy
    assert found.skipped["redis_password"] == "no Redis is configured"


def test_a_database_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0")
    database = Database(settings.effective_database_url)

    found = report(settings, database)

    assert "database" in checks(found)
    assert found.skipped["queues"] == "there is no database"
    assert not (tmp_path / "jobs.db").exists()
    database.close()


def test_a_database_that_is_damaged_is_to_be_restored(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, redis_url="redis://127.0.0.1:1/0")
    (tmp_path / "jobs.db").write_text("no database " * 1000)
    database = Database(settings.effective_database_url)

    found = report(settings, database)
    database.close()

    (finding,) = [finding for finding in found.findings if finding.check == "database"]
    assert "damaged" in finding.sentence
    assert "jobs-app restore" in finding.remedy


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    url = "postgresql://jobs@127.0.0.1:1/jobs"
    settings = Settings(data_dir=tmp_path, database_url=url, redis_url="redis://127.0.0.1:1/0")
    database = Database(settings.effective_database_url)

    found = report(settings, database)

    assert "database" in checks(found)
    assert "queues" in found.skipped
    database.close()


@pytest.mark.parametrize("unmigrated_database_url", ["sqlite"], indirect=True)
def test_a_database_without_tables(unmigrated_database_url: str, tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, database_url=unmigrated_database_url, redis_url="redis://127.0.0.1:1/0"
    )
    database = Database(unmigrated_database_url)
    with database.session() as session:
        session.connection()

    found = report(settings, database)

    assert "migrations" in checks(found)
    assert found.skipped["queues"] == "the database is not migrated"
    database.close()


def test_a_process_that_loads_no_modules_of_the_user_says_who_knows_about_them(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url)

    with_modules = report(settings.model_copy(update={"imports": "shop"}), database)

    assert "imports" in report(settings, database).passed
    assert with_modules.skipped["imports"] == "only the web server knows: jobs-app doctor --server"
