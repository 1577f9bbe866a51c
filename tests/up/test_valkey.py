"""The embedded Valkey lets in whom it should, and loses nothing."""

import os
import stat
import tempfile
from pathlib import Path

import psutil
import pytest
import redis
from celery import Celery
from redbeat.schedulers import get_redis

from jobs_app.core.errors import Unavailable
from jobs_app.core.settings import Settings
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.valkey import EmbeddedValkey, free_port, password_of, write_private


@pytest.fixture
def death_pipe():
    line = ParentDeathPipe()
    yield line
    line.close()


@pytest.fixture
def tmp_path():
    """A directory whose path leaves room for a socket; pytest's own is often too long."""
    with tempfile.TemporaryDirectory(prefix="jobs-") as directory:
        yield Path(directory)


@pytest.fixture
def start(death_pipe):
    """Start embedded servers that end with the test."""
    started = []

    def start(server: EmbeddedValkey) -> EmbeddedValkey:
        started.append(server)
        server.start(death_pipe)
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def awkward(tmp_path) -> Path:
    """A short directory whose name has everything that URLs and configurations dislike."""
    directory = tmp_path / 'a "b\\c?#%é'
    directory.mkdir()
    return directory


def on_a_socket(directory: Path) -> EmbeddedValkey:
    return EmbeddedValkey(directory / "valkey", socket_path=directory / "valkey.sock")


def on_loopback(directory: Path) -> EmbeddedValkey:
    return EmbeddedValkey(directory / "valkey", socket_path=None)


@pytest.fixture(params=[on_a_socket, on_loopback])
def server(request, start, awkward) -> EmbeddedValkey:
    return start(request.param(awkward))


def test_redis_py_reads_the_address(server):
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()


def test_celery_reads_the_address_of_the_settings(server):
    app = Celery(broker=Settings(redis_url=server.url).redis_address.celery_url)

    with app.connection_for_write() as connection:
        app.send_task("anything", connection=connection)

    with redis.Redis.from_url(server.url) as client:
        assert client.llen("celery") == 1


def test_redbeat_reads_the_address(server):
    app = Celery(broker=Settings(redis_url=server.url).redis_address.celery_url)
    app.conf.redbeat_redis_url = server.url

    with get_redis(app) as client:
        assert client.ping()


def test_nobody_gets_in_without_the_password(server):
    without = server.url.replace(f":{server.password}@", "")

    with redis.Redis.from_url(without) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_password_is_in_no_command_line(server):
    for process in psutil.process_iter(["cmdline"]):
        assert server.password not in " ".join(process.info["cmdline"] or [])


def test_on_a_socket_there_is_no_port_and_nobody_else_may_connect(start, tmp_path):
    server = start(on_a_socket(tmp_path))

    assert not psutil.Process(server.process.pid).net_connections(kind="inet")
    assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o600


def test_on_loopback_nobody_else_can_reach_it(start, tmp_path):
    server = start(on_loopback(tmp_path))

    listening = psutil.Process(server.process.pid).net_connections(kind="inet")
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_a_path_too_long_for_a_socket_falls_back_to_loopback(start, tmp_path):
    deep = tmp_path / ("d" * 100)

    server = start(EmbeddedValkey(deep, socket_path=deep / "valkey.sock"))

    assert server.url.startswith("redis://")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_written_survives(start, tmp_path, end):
    server = start(on_a_socket(tmp_path))
    with redis.Redis.from_url(server.url) as client:
        client.set("key", "value")

    getattr(server, end)()
    start(server)

    with redis.Redis.from_url(server.url) as client:
        assert client.get("key") == b"value"


def test_nothing_is_ever_evicted(start, tmp_path):
    server = start(on_a_socket(tmp_path))

    with redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_a_stopped_server_is_no_longer_running(start, tmp_path):
    server = start(on_a_socket(tmp_path))
    assert server.is_running()

    server.stop()

    assert not server.is_running()


def test_a_server_that_cannot_start_says_why(start, death_pipe, tmp_path):
    neighbour = start(on_loopback(tmp_path / "neighbour"))
    server = EmbeddedValkey(tmp_path / "own", socket_path=None, port=neighbour.port)

    with pytest.raises(Unavailable, match=r"(?i)bind|listen|port"):
        server.start(death_pipe)


def test_two_servers_never_share_a_directory(start, death_pipe, tmp_path):
    first = start(on_a_socket(tmp_path))
    second = EmbeddedValkey(first.directory, socket_path=None)

    with pytest.raises(Unavailable, match="still runs"):
        second.start(death_pipe, timeout_seconds=0.2)

    first.kill()
    start(second)


def test_user_password_and_database_of_an_address_reach_celery():
    settings = Settings(redis_url="unix://me:s%2Fecret@/run/valkey.sock?db=3")

    assert settings.redis_address.celery_url == (
        "redis+socket://me:s%2Fecret@/run/valkey.sock?virtual_host=3"
    )


def test_a_private_file_is_its_owners_alone_even_if_it_was_open_before(tmp_path):
    path = tmp_path / "redis-url"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    assert os.listdir(tmp_path) == ["redis-url"]


def test_the_password_is_found_again_in_the_url_file(tmp_path):
    server = EmbeddedValkey(tmp_path, socket_path=None, port=free_port())
    write_private(tmp_path / "redis-url", server.url)

    assert password_of(tmp_path / "redis-url") == server.password


def test_no_url_file_means_no_password(tmp_path):
    assert password_of(tmp_path / "redis-url") is None
