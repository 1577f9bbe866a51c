"""Versions and files of time zone data."""

import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs_app.schedules import zone_data


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A directory of zones, the only one of this process."""
    (tmp_path / "Etc").mkdir()
    data = zone_data.zone_file("Etc/UTC")
    assert data is not None
    (tmp_path / "Etc/UTC").write_bytes(data)
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(to=[str(tmp_path)])
    zone_data.version.cache_clear()
    yield tmp_path
    zoneinfo.reset_tzpath(to=before)
    zone_data.version.cache_clear()


def test_the_version_is_read_from_the_directory(folder: Path) -> None:
    (folder / "tzdata.zi").write_text("# version 2025b\n# more\n")

    assert zone_data.version() == "2025b"


def test_data_without_a_version_is_known_by_its_content(folder: Path) -> None:
    first = zone_data.version()
    zone_data.version.cache_clear()
    (folder / "Europe").mkdir()
    (folder / "Europe/London").write_bytes(b"another")

    assert first.startswith("unversioned ")
    assert zone_data.version() not in (first, "none")


def test_without_a_directory_the_package_counts(tmp_path: Path, folder: Path) -> None:
    (folder / "Etc/UTC").unlink()

    assert zone_data.version()[:2] == "20"


def test_only_zones_have_files() -> None:
    assert (zone_data.zone_file("Europe/Paris") or b"")[:4] == b"TZif"
    assert zone_data.zone_file("../../etc/passwd") is None
    assert zone_data.zone_file("tzdata.zi") is None
