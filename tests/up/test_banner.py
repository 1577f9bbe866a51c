"""`jobs-app up` prints where it runs and how to sign in."""

import json
import re

from tests.servers import wait_until


def test_it_says_where_it_is_and_how_to_sign_in(running):
    wait_until(lambda: "curl" in running.printed, "the whole banner")

    header_file = running.data_dir / "admin-token.header"
    assert f"http://127.0.0.1:{running.port}" in running.printed
    assert f"curl -H @{header_file} " in running.printed
    assert (running.data_dir / "admin-token").read_text().strip() not in running.printed


def test_its_example_works_for_another_directory_and_port(running):
    wait_until(lambda: "job list" in running.printed, "the whole banner")

    variables = f"JOBS_DATA_DIR={running.data_dir} JOBS_PORT={running.port}"
    assert re.search(rf"^  {variables} .*jobs.app job list$", running.printed, re.MULTILINE)


def test_without_the_demo_every_route_is_closed(running):
    environment = json.loads((running.data_dir / "web.environment").read_text())

    assert environment["JOBS_DEMO_OPEN"] == "False"
    assert "without a token" not in running.printed


def test_the_demo_opens_its_two_routes_on_loopback(make_up, data_dir):
    make_up("--demo").start_and_wait()

    assert json.loads((data_dir / "web.environment").read_text())["JOBS_DEMO_OPEN"] == "True"


def test_the_demo_opens_nothing_to_the_network(make_up, data_dir):
    up = make_up("--demo")
    up.environment |= {"JOBS_HOST": "0.0.0.0", "JOBS_PLAIN_HTTP": "true"}
    up.start_and_wait()

    wait_until(lambda: "0.0.0.0 is not loopback" in up.printed, "it says why")
    assert json.loads((data_dir / "web.environment").read_text())["JOBS_DEMO_OPEN"] == "False"


def test_it_prints_the_link_of_the_first_admin_once(running):
    wait_until(lambda: "/links/" in running.printed, "the whole banner")

    links = re.findall(rf"http://127\.0\.0\.1:{running.port}/links/\S{{43}}", running.printed)
    assert len(links) == 1


def test_with_a_log_in_json_the_banner_is_a_line_of_it(make_up):
    up = make_up()
    up.environment |= {"JOBS_LOG_FORMAT": "json"}
    up.start()

    wait_until(lambda: "is running" in up.printed, "the banner")

    lines = [json.loads(line) for line in up.printed.splitlines()]
    assert any("is running" in line["message"] for line in lines)
    assert {line["process"] for line in lines} >= {"up"}
