"""Files give variables to commands, as dotenv has them, and only if nobody else writes them."""

import os
from pathlib import Path

import pytest

from jobs_app.core.settings import Settings
from jobs_app.tasks.env_files import EnvFileFault, has_tags, variables_for


def values(text: str, path: Path, *, tags: tuple[str, ...] = ()) -> dict[str, str]:
    path.write_text(text)
    return read(str(path), *tags)


def read(setting: str, *tags: str) -> dict[str, str]:
    found = variables_for(Settings(env_files=setting), tags)
    return {variable.name: variable.value for variable in found}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "env"


def test_lines_are_those_of_dotenv(path: Path) -> None:
    text = """
# a comment
A=1
B = two words  # a comment
C='$HOME # stays'
D="one\\ntwo"
export E=e
F=
G="first
second"
H=${A}
"""

    assert values(text, path) == {
        "A": "1",
        "B": "two words",
        "C": "$HOME # stays",
        "D": "one\ntwo",
        "E": "e",
        "F": "",
        "G": "first\nsecond",
        "H": "${A}",
    }


@pytest.mark.parametrize(
    "text, words",
    [
        ("A=1\nB\n", "line 2: it is no NAME=VALUE"),
        ("; of systemd\n", "line 1"),
        ("A='1\n", "line 1: it is no NAME=VALUE"),
        ("A-B=1\n", "line 1: a name has only letters"),
        ("A=\0\n", "NUL"),
    ],
)
def test_a_line_that_is_no_variable_is_named_without_its_text(
    path: Path, text: str, words: str
) -> None:
    with pytest.raises(EnvFileFault, match=words) as fault:
        values(text, path)

    assert str(path) in str(fault.value)
    assert "systemd" not in str(fault.value)


def test_a_file_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(EnvFileFault, match=f"{path} cannot be read: No such file"):
        read(str(path))


@pytest.mark.parametrize("is_directory", [False, True])
def test_a_file_that_others_can_write_or_replace_is_not_used(
    path: Path, is_directory: bool
) -> None:
    path.write_text("A=1\n")
    (path.parent if is_directory else path).chmod(0o777)

    with pytest.raises(EnvFileFault, match="other users can write"):
        read(str(path))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_not_used(path: Path) -> None:
    path.write_text("A=1\n")
    os.chown(path, 65_534, -1)

    with pytest.raises(EnvFileFault, match="other users can write"):
        read(str(path))


def test_a_file_that_becomes_writable_is_not_used_any_more(path: Path) -> None:
    assert values("A=1\n", path) == {"A": "1"}

    path.chmod(0o666)

    with pytest.raises(EnvFileFault):
        read(str(path))


def test_a_change_counts_at_once(path: Path) -> None:
    assert values("A=1\n", path) == {"A": "1"}
    assert values("A=2\n", path) == {"A": "2"}


def test_a_file_of_a_tag_is_for_its_jobs_and_wins_over_those_before_it(tmp_path: Path) -> None:
    for name, text in {"all": "A=1\nB=1\n", "web": "B=2\nC=2\n", "db": "C=3\n"}.items():
        (tmp_path / name).write_text(text)
    setting = f"{tmp_path}/all, web={tmp_path}/web,db={tmp_path}/db"

    assert read(setting) == {"A": "1", "B": "1"}
    assert read(setting, "web") == {"A": "1", "B": "2", "C": "2"}
    assert read(setting, "db", "web", "x") == {"A": "1", "B": "2", "C": "3"}


@pytest.mark.parametrize(
    "setting, has", [("", False), ("/a,/b=c", False), ("/a,t=/b", True), ("t=/b", True)]
)
def test_a_path_has_a_tag_only_before_it(setting: str, has: bool) -> None:
    assert has_tags(Settings(env_files=setting)) is has


@pytest.mark.parametrize("setting", ["env", "/a,b", "a b=/c", "=/a", "t=u=/a"])
def test_a_setting_that_names_no_whole_path_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="whole paths"):
        Settings(env_files=setting)
