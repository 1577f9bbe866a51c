"""The zone of the machine is that of its files, as cron reads it."""

from pathlib import Path

import pytest

from jobs_app.schedules.machine_zone import machine_zone


def test_the_link_comes_first_then_the_file_then_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link, file = tmp_path / "localtime", tmp_path / "timezone"
    monkeypatch.setenv("TZ", ":Asia/Tokyo")
    link.symlink_to("/usr/share/zoneinfo/Europe/Paris")
    file.write_text("Europe/Berlin\n")

    assert machine_zone(link, file) == "Europe/Paris"
    link.unlink()
    # A copy of the file of a zone does not have its name.
    link.write_bytes(b"TZif")
    assert machine_zone(link, file) == "Europe/Berlin"
    file.unlink()
    assert machine_zone(link, file) == "Asia/Tokyo"
    monkeypatch.setenv("TZ", "CET-1CEST")
    assert machine_zone(link, file) is None
    link.unlink()
    assert machine_zone(link, file) == "UTC"


@pytest.mark.parametrize("name", ["Etc/UTC", "Etc/Zulu", "UCT"])
def test_another_name_of_utc_is_utc(tmp_path: Path, name: str) -> None:
    link = tmp_path / "localtime"
    link.symlink_to(f"/usr/share/zoneinfo/{name}")

    assert machine_zone(link, tmp_path / "timezone") == "UTC"
