"""Output that cannot be written is one sentence and exit code 1, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.canned import RUN_ID, Canned, CannedServer, a_job, page


def jobs_app(*arguments: str | bytes, before: str = "", shell: str = "", **variables: str) -> Any:
    """Run the command in a shell, which redirects it, with more environment variables."""
    script = f'{before} exec "$0" -m jobs_app "$@" {shell}'
    return subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, *arguments],
        capture_output=True,
        env=os.environ | variables,
        timeout=30,
    )


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "redirection", [">/dev/full", pytest.param(">&-", marks=pytest.mark.nightly), "<&- >&-"]
)
@pytest.mark.parametrize("arguments", [("job", "list"), ("job", "list", "--json"), ("--help",)])
def test_a_full_or_closed_output_is_one_sentence(
    server: CannedServer, redirection: str, arguments: tuple[str, ...]
) -> None:
    server.on("GET", "/jobs", page(a_job()))

    done = jobs_app(*arguments, shell=redirection)

    assert done.returncode == 1
    assert done.stderr.startswith(b"jobs-app: The output cannot be written: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.few(1)
@pytest.mark.parametrize("is_unbuffered", ["", pytest.param("1", marks=pytest.mark.nightly)])
@pytest.mark.parametrize(
    "arguments", [("job", "export"), ("job", "list", "--json"), ("run", "log", RUN_ID)]
)
def test_output_that_is_cut_short_is_an_error(
    server: CannedServer, tmp_path: Path, arguments: tuple[str, ...], is_unbuffered: str
) -> None:
    server.on("GET", "/jobs", page(a_job(description="x" * 100_000)))
    server.on("GET", f"/runs/{RUN_ID}/log", Canned(b"x" * 100_000))

    redirection = f">{tmp_path}/out"

    # 64 blocks of 512 bytes: the first write is taken in part, as on a disk that gets full.
    limited = jobs_app(
        *arguments,
        before="ulimit -f 64;",
        shell=redirection,
        PYTHONUNBUFFERED=is_unbuffered,
    )

    assert limited.returncode == 1
    assert limited.stderr == b"jobs-app: The output cannot be written: File too large.\n"


def test_an_error_that_cannot_be_written_keeps_a_documented_code(server: CannedServer) -> None:
    for redirection in ("2>/dev/full", "2>&-", ">&- 2>&-"):
        done = jobs_app("job", "show", "nothing", shell=redirection)

        assert done.returncode in (1, 3)
        assert b"Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.nightly)])
def test_characters_that_the_output_lacks_are_escaped(server: CannedServer, encoding: str) -> None:
    server.on("GET", "/jobs", page(a_job(name="x\u6f22")))

    done = jobs_app("job", "list", PYTHONIOENCODING=encoding)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"x" in done.stdout


def test_json_and_yaml_keep_their_text_in_any_encoding(server: CannedServer) -> None:
    job = a_job(description="\u6f22 \U0001f600")
    server.on("GET", "/jobs/hello", Canned(job))
    server.on("GET", "/jobs", page(job))

    as_json = jobs_app("job", "show", "hello", "--json", PYTHONIOENCODING="latin-1")
    as_yaml = jobs_app("job", "export", PYTHONIOENCODING="latin-1")

    assert json.loads(as_json.stdout)["description"] == job["description"]
    assert yaml.safe_load(as_yaml.stdout)[0]["description"] == job["description"]


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "arguments",
    [
        ("job", "create", "x", "--task", "sleep", "--description", b"caf\xe9"),
        ("job", "create", "x", "--task", "sleep", "--arg", b"a=caf\xe9"),
        ("job", "show", b"caf\xe9"),
        ("job", "list", "--q", b"caf\xe9"),
    ],
)
def test_text_that_is_no_utf8_is_one_sentence(
    server: CannedServer, arguments: tuple[str | bytes, ...]
) -> None:
    done = jobs_app(*arguments)

    assert done.returncode == 2
    assert b"Traceback" not in done.stderr


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "arguments, method, reader",
    [
        (("job", "activate"), "PATCH", "| :"),
        (("job", "pause"), "POST", "| head -1"),
        (("job", "delete", "--yes"), "DELETE", ">/dev/full"),
    ],
)
def test_a_command_for_several_jobs_does_all_without_a_reader(
    server: CannedServer, arguments: tuple[str, ...], method: str, reader: str
) -> None:
    names = [f"j{number}" for number in range(8)]
    observes = arguments[1] == "activate"
    for name in names:
        # Longer than what a pipe takes while its reader ends.
        job = a_job(name=name, observe=observes, description_of_schedule="x" * 100_000)
        path = f"/jobs/{name}"
        server.on("GET", path, Canned(job, headers={"ETag": '"1"'}))
        server.on("GET", f"{path}/stats", Canned({"observation": None}))
        server.on("PATCH", path, Canned(job | {"observe": not observes}))
        server.on("DELETE", path, Canned("", 204))
        server.on("POST", f"{path}/pause", Canned(job | {"version": 4}))

    done = jobs_app(*arguments, *names, shell=reader)

    assert sum(request.method == method for request in server.requests) == len(names)
    assert b" 8 jobs.\n" in done.stderr
    assert b"jobs-app: The output cannot be written: " in done.stderr
    assert b"Traceback" not in done.stderr
    # Of a pipe, a shell has the code of the reader.
    assert done.returncode == (1 if reader == ">/dev/full" else 0)


def test_a_change_whose_report_is_lost_says_so(server: CannedServer, tmp_path: Path) -> None:
    job = a_job(description_of_schedule="x" * 100_000)
    fires: dict[str, Any] = {"moved": [], "go": [], "come": []}
    item: dict[str, Any] = {"action": "create", "name": "hello", "job": job}
    item |= {"changes": [], "fires": fires, "changed_by_hand": None, "effect": None}
    server.on("POST", "/apply", Canned({"items": [item] * 3}))
    (tmp_path / "jobs.yaml").write_text("hello: {command: date}\n")
    reader = "| :"

    done = jobs_app("apply", "-f", str(tmp_path / "jobs.yaml"), shell=reader)

    assert done.stderr == b"jobs-app: The output cannot be written: Broken pipe.\n"


def test_a_listing_still_ends_with_its_reader(server: CannedServer) -> None:
    server.on("GET", "/jobs", page(*(a_job(name="x" * 90) for _ in range(2000))))

    reader = "| head -1"
    done = jobs_app("job", "list", shell=reader)

    assert (done.stderr, done.stdout.count(b"\n")) == (b"", 1)
