"""Each command of README.md and docs/ is run as it stands there, page by page.

All pages share one installation, which `jobs-app up` has started in an empty home directory.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs_app.up.valkey import free_port
from tests.documents.not_run import (
    BEFORE,
    EXIT_CODES,
    NOT_RUN,
    PAGES_NOT_RUN,
    PLACEHOLDERS,
    beginning,
)
from tests.documents.pages import PAGES, ROOT, Block, blocks
from tests.documents.shell import lines, typed
from tests.servers import wait_until

pytestmark = pytest.mark.nightly

EXIT_CODE = re.compile(r"#.*\bexit code (\d+)")

CRONTAB = """\
# The backup of the night
30 2 * * * /usr/bin/true
*/10 * * * * /usr/local/bin/poll
"""
#: Programs that may be missing here, and must not do what they do.
STAND_INS = {
    "crontab": f"case ${{1:-}} in -l) cat <<'END'\n{CRONTAB}END\n;; esac",
    "journalctl": "echo 'CRON[1]: (root) CMD (/usr/local/bin/poll)'",
    "pass": "echo a-long-secret-value",
}
SHOP = """\
from celery import Celery

app = Celery("shop", broker="memory://")
app.conf.beat_schedule = {"sales": {"task": "shop.celery.sales", "schedule": 3600.0}}


@app.task
def sales() -> None:
    print("sold")
"""
EVENTS = """\
{"rows": [{"enabled": 1, "plugin": "shellplug", "title": "Rotate", "timing": {"minutes": [5]},
 "params": {"script": "#!/bin/sh\\ntrue"}, "max_children": 1, "timeout": 60, "catch_up": false,
 "retries": 0, "timezone": "Europe/Paris"}]}
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """An installation of `jobs-app up`: its directory of work, and its environment."""

    directory: Path
    environment: dict[str, str]

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script of bash there, up to the first command that fails."""
        return subprocess.run(
            ["/bin/bash", "-euo", "pipefail", "-c", script],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def code_of(page: str, language: str) -> str:
    return next(block.text for block in blocks(page) if block.language == language)


def write_modules(page: str, directory: Path) -> None:
    """Write the Python blocks of *page* that begin with the name of their file."""
    for block in blocks(page):
        if block.language == "python" and (named := re.match(r"# (\w+\.py)\b", block.text)):
            (directory / named[1]).write_text(block.text)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that answers, and the files that the pages speak of."""
    if missing := [name for name in ("jq", "curl") if not shutil.which(name)]:
        pytest.skip(f"Debian's package {missing[0]} is not installed")
    home = tmp_path_factory.mktemp("home")
    work, programs = home / "work", home / "programs"
    for folder in (work, programs, work / "shop", work / "jobs"):
        folder.mkdir()
    for name, text in STAND_INS.items():
        write_program(programs / name, text)
    write_program(programs / "jobs-app", f'exec {sys.executable} -P -m jobs_app "$@"')
    # The environment of the reader has Celery.
    write_program(programs / "python3", f'exec {sys.executable} "$@"')
    write_program(work / "run", 'shift; exec jobs-app "$@"')
    daily = "\n\n@shared_task\ndef daily(day: str) -> str:\n    return day\n"
    (work / "reports.py").write_text(code_of("docs/own-tasks.md", "python") + daily)
    (work / "shop/__init__.py").touch()
    (work / "shop/celery.py").write_text(SHOP)
    write_modules("docs/beat.md", work)
    (work / "jobs.yaml").write_text(code_of("docs/apply.md", "yaml"))
    (work / "jobs/one.yaml").write_text("one: {task: sleep, kwargs: {duration: 1}}\n")
    (work / "more.yaml").write_text("two: {task: sleep, kwargs: {duration: 1}}\n")
    (work / "cronicle_jobs.py").write_text(code_of("docs/cronicle.md", "python"))
    (work / "events.json").write_text(EVENTS)
    (work / "beat.log").write_text("Scheduler: Sending due task sales (shop.celery.sales)\n")
    environment = {
        "HOME": str(home),
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{work}",
        "JOBS_PORT": str(free_port()),
        "JOBS_IMPORTS": "reports,shop.celery",
        "LANG": "C.UTF-8",
    }
    made = Installation(work, environment)
    with (home / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [programs / "jobs-app", "up"],
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(
            lambda: made.run("jobs-app health").returncode == 0, "it answers", timeout_seconds=60
        )
        yield made
    finally:
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(up.pid, signal.SIGKILL)
            raise


def script_of(block: Block, port: str) -> str:
    """Return what is run of a block: each line that can run here, with the place in the page."""
    parts = [f"echo '--- {block}'"]
    for line in lines(typed(block)):
        if beginning(line, NOT_RUN):
            continue
        codes = EXIT_CODES.get(beginning(line, EXIT_CODES) or "", ())
        if named := EXIT_CODE.search(line):
            codes = (int(named[1]),)
        for word, name in PLACEHOLDERS.get(block.page, {}).items():
            line = re.sub(rf"\b{word}\b", name, line)
        if codes:
            line = f"code=0; {line.partition(' #')[0]} || code=$?\n"
            line += f"case $code in {'|'.join(map(str, codes))}) ;; *) exit 99;; esac"
        parts.append(line.replace("127.0.0.1:5000", f"127.0.0.1:{port}"))
    return "\n".join(parts)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page) and page not in PAGES_NOT_RUN]
)
def test_the_commands_of_a_page_work(installation: Installation, page: str) -> None:
    shell = [block for block in blocks(page) if block.language in ("sh", "console")]
    port = installation.environment["JOBS_PORT"]
    script = "\n".join([BEFORE.get(page, ""), *(script_of(block, port) for block in shell)])

    done = installation.run(script)
    cleaned = installation.run(
        "jobs-app job list --all --json | jq -r '.items[].name' |"
        " xargs --no-run-if-empty jobs-app job delete --purge --yes"
    )

    assert done.returncode == 0, done.stdout[-4000:]
    assert cleaned.returncode == 0, cleaned.stdout
