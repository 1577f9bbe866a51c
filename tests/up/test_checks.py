"""`jobs-app up` refuses what cannot work, before it starts anything."""

import re
import socket

import pytest

from tests.up.conftest import Up


def test_a_second_one_on_the_same_directory_is_refused(running):
    second = Up(running.data_dir).start()

    assert second.exit_code() == 1
    holder = f"already runs on {running.data_dir}, as process {running.process.pid}"
    assert holder in second.printed
    assert not running.has_ended()


def test_a_taken_port_is_refused_before_anything_starts(make_up, data_dir):
    up = make_up()
    with socket.create_server(("127.0.0.1", up.port)):
        up.start()

        assert up.exit_code() == 1

    assert f"Port {up.port} on 127.0.0.1 is taken" in up.printed
    assert not (data_dir / "redis-url").exists()


def test_a_module_that_is_nowhere_is_refused_before_anything_starts(make_up):
    up = make_up()
    up.environment["JOBS_IMPORTS"] = "reprots.monthly"
    up.start()

    assert up.exit_code() != 0
    assert "JOBS_IMPORTS: there is no module 'reprots'" in up.printed
    assert up.notes() == []


@pytest.mark.nightly
def test_a_module_of_the_present_directory_is_found(make_up, data_dir, monkeypatch):
    data_dir.mkdir()
    (data_dir / "reports.py").write_text("")
    monkeypatch.chdir(data_dir)
    up = make_up()
    up.environment["JOBS_IMPORTS"] = "reports"

    up.start_and_wait()

    assert "JOBS_IMPORTS" not in up.printed


def test_a_variable_with_a_typo_is_pointed_out(make_up):
    up = make_up()
    up.environment |= {"JOBS_IMPORT": "reports", "JOBS_URL": "http://127.0.0.1:1"}

    up.start_and_wait()

    assert "JOBS_IMPORT is no setting and is ignored; did you mean JOBS_IMPORTS?" in up.printed
    assert "JOBS_URL" not in up.printed


def test_an_address_that_other_machines_reach_is_refused(make_up):
    up = make_up()
    up.environment["JOBS_HOST"] = "0.0.0.0"
    up.start()

    assert up.exit_code() != 0
    assert "or set JOBS_PLAIN_HTTP=true where a proxy" in up.printed
    assert up.notes() == []


def test_an_address_that_is_not_ours_is_refused(make_up):
    up = make_up()
    up.environment |= {"JOBS_HOST": "192.0.2.1", "JOBS_PLAIN_HTTP": "true"}
    up.start()

    assert up.exit_code() != 0
    assert "JOBS_HOST 192.0.2.1" in up.printed


def test_any_free_port_can_be_asked_for(make_up):
    up = make_up()
    up.environment["JOBS_PORT"] = "0"

    up.start_and_wait()

    assert re.search(r"http://127\.0\.0\.1:[1-9]\d+$", up.printed, re.MULTILINE)
