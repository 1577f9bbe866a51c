"""Temporary files of tests are kept in memory where there is room."""

import os
import tempfile
from pathlib import Path

import pytest

from tests import temporary_files


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of the one in memory, and room of one byte that it needs."""
    monkeypatch.setattr(temporary_files, "MEMORY", tmp_path)
    monkeypatch.setattr(temporary_files, "ROOM_BYTES", 1)
    monkeypatch.setattr(tempfile, "tempdir", tempfile.gettempdir())
    # Set first: what was not there would not be taken away again.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("TMPDIR")
    return tmp_path


def test_they_are_in_memory_where_there_is_room(memory: Path) -> None:
    temporary_files.use_memory()

    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(memory)


@pytest.mark.parametrize("reason", ["little room", "no such directory", "another choice"])
def test_else_they_are_where_they_always_are(
    reason: str, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "little room":
        monkeypatch.setattr(temporary_files, "ROOM_BYTES", 2**60)
    elif reason == "no such directory":
        memory.rmdir()
    else:
        monkeypatch.setenv("TMPDIR", "/var/tmp")
    before = tempfile.gettempdir(), os.environ.get("TMPDIR")

    temporary_files.use_memory()

    assert (tempfile.gettempdir(), os.environ.get("TMPDIR")) == before
