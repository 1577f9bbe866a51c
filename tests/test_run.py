"""`./run`: it installs once, whoever calls it and however often, and then gets out of the way."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pip
import pytest

from tests.servers import wait_until

ROOT = Path(__file__).parents[1]
INSTALLING = "run: installing"

#: A project that installs without a network: its build backend lies beside it, and its
#: command `jobs-app` says where and as which process it runs.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "stand-in"
version = "1"
"""
BACKEND = '''
import zipfile

FILES = {
    "stand_in.py": """
import os, signal, sys

def main():
    print(os.getpid(), os.getcwd(), *sys.argv[1:], sep="|", flush=True)
    if "wait" in sys.argv:
        signal.pause()
""",
    "stand_in-1.dist-info/METADATA": "Metadata-Version: 2.1\\nName: stand-in\\nVersion: 1\\n",
    "stand_in-1.dist-info/WHEEL": "Wheel-Version: 1.0\\nTag: py3-none-any\\n"
    "Root-Is-Purelib: true\\n",
    "stand_in-1.dist-info/entry_points.txt": "[console_scripts]\\njobs-app = stand_in:main\\n",
}

def build_editable(folder, config_settings=None, metadata_directory=None):
    record = "".join(f"{name},,\\n" for name in FILES) + "stand_in-1.dist-info/RECORD,,\\n"
    name = "stand_in-1-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        for path, text in {**FILES, "stand_in-1.dist-info/RECORD": record}.items():
            wheel.writestr(path, text)
    return name

build_wheel = build_editable
'''


def clean_environment(**variables: str) -> dict[str, str]:
    """Return what `env -i` leaves, with *variables*: no HOME, no settings of pip."""
    return {"PATH": os.environ["PATH"], "JOBS_PYTHON": sys.executable, **variables}


def run(
    checkout: Path, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "run", *arguments],
        cwd=cwd,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )


def make_checkout(folder: Path) -> Path:
    (folder / "deploy").mkdir(parents=True)
    shutil.copy(ROOT / "run", folder / "run")
    (folder / "deploy/constraints.txt").write_text("# nothing\n")
    (folder / "deploy/constraints-test.txt").write_text("# nothing\n")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "backend.py").write_text(BACKEND)
    return folder


def make_checkout_with_pip(folder: Path) -> Path:
    """Return a checkout in which nothing is installed but pip: ours, since that takes seconds."""
    checkout = make_checkout(folder)
    subprocess.run(
        [sys.executable, "-I", "-m", "venv", "--without-pip", checkout / ".venv"], check=True
    )
    (packages,) = (checkout / ".venv/lib").glob("python*/site-packages")
    (packages / "pip").symlink_to(Path(pip.__file__).parent)
    return checkout


@pytest.fixture
def checkout_with_pip(tmp_path: Path) -> Path:
    """A checkout in which nothing is installed but pip."""
    return make_checkout_with_pip(tmp_path / "checkout")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout that is installed, and whose path has a space."""
    checkout = make_checkout_with_pip(tmp_path_factory.mktemp("run") / "a checkout")
    assert run(checkout, "jobs-app").returncode == 0
    return checkout


@pytest.mark.nightly
def test_two_first_calls_at_once_install_once(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "a checkout")
    calls = [
        subprocess.Popen(
            [checkout / "run", "jobs-app"],
            env=clean_environment(HOME=""),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    errors = [call.communicate(timeout=100)[1] for call in calls]

    assert [call.returncode for call in calls] == [0, 0], errors
    assert sum(INSTALLING in text for text in errors) == 1


def test_a_later_call_installs_nothing_and_keeps_folder_and_arguments(
    checkout: Path, tmp_path: Path
) -> None:
    done = run(checkout, "jobs-app", "job", "show", "a b", cwd=tmp_path)

    assert done.stderr == ""
    assert done.stdout.rstrip("\n").split("|")[1:] == [str(tmp_path), "job", "show", "a b"]


def test_up_is_the_command_of_that_name(checkout: Path, tmp_path: Path) -> None:
    done = run(checkout, "up", "--demo", cwd=tmp_path)

    assert done.stdout.rstrip("\n").split("|")[2:] == ["up", "--demo"]


@pytest.mark.nightly
def test_the_command_takes_the_place_of_the_shell_and_gets_its_signals(checkout: Path) -> None:
    process = subprocess.Popen(
        [checkout / "run", "jobs-app", "wait"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    with process.stdout:
        pid = int(process.stdout.readline().partition("|")[0])
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=10) == -signal.SIGTERM
        assert pid == process.pid


@pytest.mark.nightly
def test_the_site_is_built_in_an_environment_of_its_own(checkout: Path) -> None:
    (checkout / "deploy/constraints-docs.txt").write_text("# nothing\n")
    (checkout / "docs").mkdir(exist_ok=True)
    (checkout / "docs/site.py").write_text("import sys; print('pages', sys.prefix, sys.argv[1])")
    (checkout / "mkdocs.py").write_text("import sys; print('site', sys.prefix, *sys.argv[1:])")

    done = run(checkout, "docs")

    pages, site = done.stdout.splitlines()
    assert pages == f"pages {checkout / '.venv'} build/docs"
    assert site.startswith(f"site {checkout / '.venv-docs'} build --strict ")
    assert not list((checkout / ".venv-docs").rglob("stand_in*"))


@pytest.mark.nightly
def test_changed_constraints_are_installed(checkout: Path) -> None:
    constraints = checkout / "deploy/constraints.txt"
    constraints.write_text(constraints.read_text() + "# more\n")

    calls = [run(checkout, "jobs-app") for _ in range(2)]

    assert [INSTALLING in call.stderr for call in calls] == [True, False]


@pytest.mark.nightly
def test_an_interrupted_installation_is_done_again_from_the_start(tmp_path: Path) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    process = subprocess.Popen(
        [checkout / "run", "jobs-app"],
        env=clean_environment(),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    half_done = checkout / ".venv/lib"
    wait_until(half_done.exists, "the installation has begun")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)
    (half_done / "left-over").touch()

    done = run(checkout, "jobs-app")

    assert (done.returncode, INSTALLING in done.stderr) == (0, True), done.stderr
    assert not (half_done / "left-over").exists()


@pytest.mark.nightly
def test_a_slow_installation_shows_that_it_works_until_ctrl_c_ends_it(
    checkout_with_pip: Path, tmp_path: Path
) -> None:
    backend = checkout_with_pip / "backend.py"
    begun = tmp_path / "begun"
    backend.write_text(f"import time\nopen({str(begun)!r}, 'w').close()\ntime.sleep(100)\n")
    process = subprocess.Popen(
        [checkout_with_pip / "run", "jobs-app"],
        env=clean_environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr
    with process.stderr:
        shown = next(line for line in process.stderr if " s: " in line and begun.exists())
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()

    assert shown.startswith(f"{INSTALLING}, ")
    assert rest.splitlines() == ["run: stopped before the end; the next call installs again."]
    assert process.wait(timeout=10) == 130


@pytest.mark.nightly
def test_the_tools_of_the_tests_are_announced_since_up_runs_beside_them(
    checkout_with_pip: Path,
) -> None:
    constraints = checkout_with_pip / "deploy/constraints-test.txt"
    constraints.write_text(f"missing==1 --hash=sha256:{'0' * 64}\n")

    done = run(checkout_with_pip, "lint", PIP_NO_INDEX="1")

    assert "from which './run up' runs too" in done.stderr


def test_what_pip_says_is_shown_when_it_fails(checkout_with_pip: Path) -> None:
    (checkout_with_pip / "deploy/constraints.txt").write_text(
        f"missing==1 --hash=sha256:{'0' * 64}\n"
    )

    done = run(checkout_with_pip, "jobs-app", PIP_NO_INDEX="1")

    assert done.returncode == 1
    assert "No matching distribution found for missing==1" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("run: pip could not install what is needed")


def programs(folder: Path, **scripts: str) -> str:
    """Return a PATH with what `./run` needs of a system, and *scripts*, but no Python."""
    folder.mkdir()
    for name in ("cat", "cksum", "dirname", "rm", "mkdir", "sh"):
        (folder / name).symlink_to(str(shutil.which(name)))
    for name, text in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{textwrap.dedent(text)}")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    "python3, sentence",
    [
        (None, "run: Python 3.11 or later is needed and none was found on PATH"),
        ("exit 1", "run: Python 3.11 or later is needed and none was found on PATH"),
        ("case $2 in *venv*) exit 1 ;; esac", "run: python3 has no venv module"),
    ],
    ids=["none", "too old", "without venv"],
)
def test_without_a_fitting_python_it_says_what_to_install(
    tmp_path: Path, python3: str | None, sentence: str
) -> None:
    checkout = make_checkout(tmp_path / "checkout")
    path = programs(tmp_path / "bin", **({"python3": python3} if python3 else {}))

    done = run(checkout, "up", PATH=path, JOBS_PYTHON="")

    assert done.returncode == 1
    assert done.stderr.startswith(sentence)
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("arguments", [[], ["--nightly"]])
def test_all_tests_without_chromium_say_what_to_install(
    tmp_path: Path, arguments: list[str]
) -> None:
    checkout = make_checkout(tmp_path / "checkout")

    done = run(checkout, "test", *arguments, PATH=programs(tmp_path / "bin"))

    assert done.returncode == 1
    assert done.stderr.startswith("run: the tests of the pages need Chromium")
    assert done.stderr.count("\n") == 1


def test_help_names_every_command() -> None:
    done = run(ROOT, "help")

    assert done.returncode == 0
    for command in ("up", "test", "lint", "bench", "jobs-app", "help"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("arguments", [[], ["cook"]])
def test_a_wrong_use_ends_with_2_and_a_hint(arguments: list[str]) -> None:
    done = run(ROOT, *arguments)

    assert done.returncode == 2
    assert "help" in done.stderr
