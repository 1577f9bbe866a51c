"""The file of a backup: what is written is read, and nothing that is not whole."""

import gzip
import io
import json
from dataclasses import asdict

import pytest

from jobs_app.db.backup_file import (
    BackupError,
    BackupReader,
    BackupWriter,
    Header,
    Kind,
    Table,
)

JOBS = Table("jobs", (("id", Kind.PLAIN), ("name", Kind.PLAIN)))
HEADER = Header("0001", "2026-11-30T09:00:00Z", "0.1.0", sequences={"jobs": 7})


def written(rows: int = 3) -> bytes:
    stream = io.BytesIO()
    writer = BackupWriter(stream, HEADER)
    writer.table(JOBS)
    for number in range(rows):
        writer.row([number, f"näme {number}"])
    writer.table(Table("runs", (("id", Kind.UUID),)))
    writer.finish()
    return stream.getvalue()


def read(data: bytes) -> list[tuple[str, list[object]]]:
    reader = BackupReader(io.BytesIO(data))
    return [(table.name, list(rows)) for table, rows in reader.tables()]


def test_what_is_written_is_read() -> None:
    assert read(written()) == [
        ("jobs", [[0, "näme 0"], [1, "näme 1"], [2, "näme 2"]]),
        ("runs", []),
    ]
    assert BackupReader(io.BytesIO(written())).header == HEADER


def test_a_file_cut_off_anywhere_is_refused() -> None:
    data = written(2000)

    for length in {0, 1, 10, len(data) // 2, len(data) - 9, len(data) - 1}:
        with pytest.raises(BackupError):
            read(data[:length])


def test_lines_that_were_left_out_or_changed_are_refused() -> None:
    lines = gzip.decompress(written()).splitlines(keepends=True)
    without_row = b"".join(lines[:2] + lines[3:])
    changed = b"".join(lines).replace(b"me 1", b"me 9")
    without_end = b"".join(lines[:-1])
    longer = b"".join([*lines, lines[0]])

    for text in (without_row, changed, without_end, longer):
        with pytest.raises(BackupError):
            read(gzip.compress(text))


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"SQLite format 3", "This is no backup of jobs-app."),
        (gzip.compress(b'{"jobs": 1}\n'), "This is no backup of jobs-app."),
        (gzip.compress(b"just text\n"), "This is no backup of jobs-app."),
        (
            gzip.compress(json.dumps({"backup": "jobs-app", "format": 2}).encode() + b"\n"),
            "The backup has the format 2",
        ),
    ],
    # What is packed names the second in which it was.
    ids=["not packed", "another object", "text", "another format"],
)
def test_another_file_is_refused_in_words(data: bytes, sentence: str) -> None:
    with pytest.raises(BackupError, match=sentence):
        BackupReader(io.BytesIO(data))


def test_a_bad_byte_is_noticed() -> None:
    data = bytearray(written(2000))
    data[len(data) // 2] ^= 0x55

    with pytest.raises(BackupError):
        read(bytes(data))


@pytest.mark.parametrize(
    "lines",
    [
        [{"backup": "jobs-app", "format": 1, "made_at": "2026-11-30T09:00:00Z"}],
        [{**asdict(HEADER), "flags": []}],
        [{**asdict(HEADER), "revision": 5}],
        [asdict(HEADER), {"table": "jobs"}],
        [asdict(HEADER), {"table": "jobs", "columns": [["id", "number"]]}],
        [asdict(HEADER), {"table": "jobs", "columns": 5}],
    ],
)
def test_a_line_that_this_version_does_not_know_is_refused(lines: list[object]) -> None:
    data = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())

    with pytest.raises(BackupError):
        read(data)
