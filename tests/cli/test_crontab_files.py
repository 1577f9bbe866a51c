"""Files, directories and standard input as crontabs, and whether their lines name accounts."""

from pathlib import Path

import click
import pytest

from jobs_app.cli import crontab_files
from jobs_app.cli.crontab_files import read_files


@pytest.fixture
def cron_d(tmp_path: Path) -> Path:
    folder = tmp_path / "cron.d"
    folder.mkdir()
    (folder / "php").write_text("9 * * * * root /clean\n")
    (folder / "apt").write_text("# nothing\n")
    (folder / ".placeholder").write_text("# DO NOT EDIT\n")
    (folder / "old.dpkg-dist").write_text("* * * * * root x\n")
    return folder


def test_a_directory_is_read_as_cron_does(cron_d: Path) -> None:
    files = read_files((str(cron_d),), is_system=None)

    assert [Path(file.path).name for file in files] == ["apt", "php"]
    assert all(file.is_system for file in files)
    assert ".placeholder, old.dpkg-dist" in files[0].notes[0]


@pytest.mark.parametrize(
    "text, option, is_system, words",
    [
        ("* * * * * x\n", None, False, "--system if"),
        ("* * * * * root x\n", None, True, "by its content"),
        ("* * * * * x\n", True, True, "as the option says"),
        ("* * * * * root x\n", False, False, "as the option says"),
    ],
)
def test_how_accounts_are_seen_is_said(
    tmp_path: Path, text: str, option: bool | None, is_system: bool, words: str
) -> None:
    (tmp_path / "x").write_text(text)

    (file,) = read_files((str(tmp_path / "x"),), is_system=option)

    assert file.is_system is is_system
    assert words in file.form


def test_a_file_of_a_name_that_cron_does_not_read_has_a_note(cron_d: Path) -> None:
    (file,) = read_files((str(cron_d / "old.dpkg-dist"),), is_system=None)

    assert "does not read a file of this name" in file.notes[0]


def test_what_is_no_crontab_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crontab_files, "MOST_BYTES", 10)
    (tmp_path / "empty").mkdir()
    (tmp_path / "large").write_text("#" * 11)
    (tmp_path / "anacrontab").write_text("1 5 x y\n")
    names = ["empty", "large", "anacrontab", "missing"]

    for name in names:
        with pytest.raises(click.UsageError, match=name):
            read_files((str(tmp_path / name),), is_system=None)
    with pytest.raises(click.UsageError, match="twice"):
        read_files(("-", "-"), is_system=None)
