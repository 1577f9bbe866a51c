"""`jobs-app up`, with stand-ins for the worker, the scheduler and the web server."""

import contextlib
import os
import signal
import stat
import time

import psutil
import pytest
import redis

from jobs_app.core import start_id
from jobs_app.core.settings import Settings
from jobs_app.up import command
from jobs_app.up.command import GRACE_SECONDS, _embedded_valkey, _environment, in_machine_zone
from jobs_app.up.parent_death import ParentDeathPipe
from jobs_app.up.supervisor import SIGNAL_DEBOUNCE_SECONDS
from tests.servers import crowding, is_alive, wait_until


def test_what_it_keeps_is_its_owners_alone(running):
    assert stat.S_IMODE(running.data_dir.stat().st_mode) == 0o700
    for path in running.data_dir.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_the_password_of_valkey_is_in_no_environment_and_no_command_line(running):
    password = redis.connection.parse_url(running.redis_url())["password"]

    assert password not in (running.data_dir / "web.environment").read_text()
    for pid in running.family():
        assert password not in " ".join(psutil.Process(pid).cmdline())


def test_ctrl_c_stops_everything_valkey_last(make_up):
    up = make_up().start_and_wait()
    family = up.family()

    up.process.send_signal(signal.SIGINT)

    assert up.exit_code() == 0
    stopped = [name for name, what, _ in up.notes() if what == "stopped"]
    assert sorted(stopped) == ["scheduler", "web", "worker"]
    assert not any(map(is_alive, family))


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)]
)
def test_the_worker_is_asked_at_once_and_waited_for_last(make_up, number):
    up = make_up(worker=("--stubborn",)).start_and_wait()
    family, began = up.family(), time.monotonic()
    up.process.send_signal(number)

    wait_until(lambda: "worker is still busy" in up.printed, "its time is over", timeout_seconds=15)
    is_over = time.monotonic() - began
    assert up.exit_code() == 0

    stopped = [name for name, what, _ in up.notes() if what == "stopped"]
    assert sorted(stopped) == ["scheduler", "web"]
    # Counted from the signal on, and not from the end of the others.
    assert GRACE_SECONDS <= is_over < GRACE_SECONDS + 2 * crowding()
    assert not any(map(is_alive, family))


@pytest.mark.nightly
def test_what_valkey_held_survives_a_stop(make_up):
    up = make_up().start_and_wait()
    with redis.Redis.from_url(up.redis_url()) as client:
        client.set("key", "value")
    up.process.send_signal(signal.SIGTERM)
    up.exit_code()

    again = make_up().start_and_wait()

    with redis.Redis.from_url(again.redis_url()) as client:
        assert client.get("key") == b"value"


def test_a_second_ctrl_c_does_not_wait_for_the_worker(make_up):
    up = make_up(worker=("--stubborn",)).start_and_wait()
    family = up.family()
    up.process.send_signal(signal.SIGINT)
    wait_until(lambda: ("scheduler", "stopped") in [n[:2] for n in up.notes()], "it stops")
    first_at = time.monotonic()
    wait_until(
        lambda: time.monotonic() - first_at > SIGNAL_DEBOUNCE_SECONDS, "that counts as a second"
    )

    up.process.send_signal(signal.SIGINT)

    wait_until(up.has_ended, "it ended at once", timeout_seconds=3)
    assert not any(map(is_alive, family))


@pytest.mark.parametrize(
    "name",
    ["worker", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("scheduler", "web"))],
)
def test_a_dead_process_is_started_again(make_up, name):
    up = make_up().start_and_wait()

    os.kill(up.pids(name)[0], signal.SIGKILL)

    wait_until(lambda: len(up.pids(name)) == 2, f"the {name} was started again")
    assert f"{name} was ended by SIGKILL; starting it again in 1 s" in up.printed


def test_a_dead_valkey_is_started_again_at_the_same_address(make_up):
    up = make_up().start_and_wait()
    pid, url = up.valkey_pid(), up.redis_url()

    os.kill(pid, signal.SIGKILL)

    def answers() -> bool:
        with contextlib.suppress(redis.ConnectionError):
            return up.valkey_pid() != pid
        return False

    wait_until(answers, "Valkey was started again")
    assert up.redis_url() == url


def test_nothing_outlives_a_killed_up(make_up):
    up = make_up(worker=("--stubborn",)).start_and_wait()
    family = up.family()

    up.process.kill()

    assert len(family) == 5, "the process that forks, ours, Valkey"
    wait_until(lambda: not any(map(is_alive, family)), "all of it ended")


@pytest.mark.nightly
def test_it_starts_again_right_after_it_was_killed(make_up):
    up = make_up().start_and_wait()

    up.process.kill()

    make_up().start_and_wait()


def test_a_redis_of_ones_own_replaces_the_embedded_one(make_up, data_dir, redis_url):
    up = make_up()
    up.environment["JOBS_REDIS_URL"] = redis_url

    up.start_and_wait()

    assert not (data_dir / "redis-url").exists()
    assert len(up.family()) == 4


def test_a_path_too_long_for_a_socket_is_announced_and_its_password_is_new(tmp_path, capsys):
    settings = Settings(data_dir=tmp_path / ("d" * 100))
    settings.data_dir.mkdir()
    pipe = ParentDeathPipe()

    servers = [_embedded_valkey(settings, pipe).server for _ in range(2)]

    pipe.close()
    assert servers[0].password != servers[1].password
    assert f"Valkey listens on 127.0.0.1:{servers[0].port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings, machine, expected",
    [
        ({}, "Europe/Paris", "Europe/Paris"),
        ({}, None, "UTC"),
        ({"timezone": "UTC"}, "Europe/Paris", "UTC"),
    ],
)
def test_the_processes_get_the_zone_of_the_machine_unless_a_setting_names_one(
    tmp_path, monkeypatch, settings, machine, expected
):
    monkeypatch.delenv("JOBS_TIMEZONE", raising=False)
    monkeypatch.setattr(command, "machine_zone", lambda: machine)

    own = in_machine_zone(Settings(data_dir=tmp_path, **settings))

    assert own.timezone == expected
    assert _environment(own, demo_open=False).get("JOBS_TIMEZONE", "UTC") == expected


def test_each_start_has_an_id_that_its_processes_keep(tmp_path):
    own = Settings(data_dir=tmp_path)

    first, second = (start_id.read(_environment(own, demo_open=False)) for _ in range(2))

    assert first is not None
    assert first != second
