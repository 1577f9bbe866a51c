"""What is installed: the pinned constraints and the wheel."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNNING = PYPROJECT["project"]["dependencies"] + PYPROJECT["build-system"]["requires"]
TESTING = RUNNING + PYPROJECT["project"]["optional-dependencies"]["test"]
CONSTRAINTS = {
    "constraints.txt": RUNNING,
    "constraints-test.txt": TESTING,
    "constraints-docs.txt": PYPROJECT["dependency-groups"]["docs"],
}


def pinned(name: str) -> dict[str, str]:
    """Return the version that a constraints file gives each package, by canonical name."""
    lines = (ROOT / "deploy" / name).read_text().splitlines()
    pins = (re.match(r"([\w.-]+)==([^ ;]+)", line) for line in lines if not line.startswith(" "))
    return {canonicalize_name(pin[1]): pin[2] for pin in pins if pin}


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_every_dependency_is_pinned_to_a_version_that_it_allows(name: str) -> None:
    pins = pinned(name)

    for dependency in map(Requirement, CONSTRAINTS[name]):
        version = pins.get(canonicalize_name(dependency.name), "none")
        assert version != "none", f"{dependency} is not in {name}: run deploy/lock"
        assert version in dependency.specifier, f"{name} has {version}, wanted {dependency}"


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_constraints_name_hashes_and_no_address(name: str) -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "deploy" / name).read_text().strip())

    for entry in entries:
        assert re.match(r"[\w.-]+==\S+.*(\\\n    --hash=sha256:[0-9a-f]{64} *)+$", entry), entry
        assert "://" not in entry


def test_running_and_testing_use_the_same_versions() -> None:
    assert pinned("constraints.txt").items() <= pinned("constraints-test.txt").items()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout with the pinned backend and no network."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (file,) = folder.glob("jobs_app-*.whl")
    return file


def files_in(folder: Path) -> set[str]:
    """Return the paths in *folder*, compiled files left out."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in paths if path.suffix != ".pyc"}


def test_the_wheel_holds_the_package_and_its_migrations_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}

    code = {f"jobs_app/{name}" for name in files_in(ROOT / "jobs_app")}
    migrations = {f"jobs_app/_migrations/{name}" for name in files_in(ROOT / "migrations")}
    assert names == code | migrations
    assert "jobs_app/_migrations/env.py" in names


def test_an_installed_wheel_migrates_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)

    # -P: the folder that the tests run in, the checkout, must not come first.
    subprocess.run(
        [sys.executable, "-P", "-m", "jobs_app", "migrate"],
        env={"PYTHONPATH": str(installed), "JOBS_DATA_DIR": str(tmp_path / "data")},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )

    assert (tmp_path / "data" / "jobs.db").stat().st_size > 0


def test_the_wheel_brings_the_command_and_the_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = {name.rpartition(".dist-info/")[2]: name for name in archive.namelist()}

        assert b"jobs-app = jobs_app.__main__:main" in archive.read(info["entry_points.txt"])
        assert b"License-Expression: BSD-3-Clause" in archive.read(info["METADATA"])
        assert b"jobs-app contributors" in archive.read(info["licenses/LICENSE"])
