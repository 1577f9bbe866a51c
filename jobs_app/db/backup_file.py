r"""The file of a backup: the tables of an installation as lines of JSON, in gzip.

It is the same for every database. The first line is the header, then comes for each table
`{"table": NAME, "columns": [[NAME, KIND], …]}` with a JSON array for each row, and at the end
`{"rows": NUMBER, "sha256": …}`: the SHA-256 of all lines before it. So a file that was cut off, or
changed, is not taken for a whole one.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import IO, Any

from jobs_app.core.errors import JobsError

#: The number of this format: another one is refused.
FORMAT = 1

#: Bytes that are compressed at once.
CHUNK_BYTES = 1 << 18

#: The longest line that a backup may have, bytes: a row with a log or a result of any size.
MOST_LINE_BYTES = 1 << 29


class BackupError(JobsError):
    """A backup that cannot be made or restored."""

    code = "backup_failed"
    title = "The backup cannot be used"


class Kind(StrEnum):
    """How a value is written: as JSON has it, or as text."""

    PLAIN = "plain"  # a number, a text or null
    BOOL = "bool"
    INSTANT = "instant"  # RFC 3339, UTC
    UUID = "uuid"
    JSON = "json"  # the text of a JSON value
    BYTES = "bytes"  # hexadecimal


@dataclass(frozen=True, slots=True)
class Header:
    """What is said of a backup before its tables.

    `revision` is that of the schema, `made_at` an RFC 3339 instant. `sequences` has the last id
    that was given, by table. `key` is the key of the secrets, if it was asked for.
    """

    revision: str
    made_at: str
    made_by: str
    sequences: dict[str, int] = field(default_factory=dict)
    key: str | None = field(default=None, repr=False)
    format: int = FORMAT
    backup: str = "jobs-app"


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a table, in the order of the values of its rows."""

    name: str
    columns: tuple[tuple[str, Kind], ...]


class BackupWriter:
    """Writes a backup to a stream of bytes; `finish` makes it whole."""

    def __init__(self, stream: IO[bytes], header: Header) -> None:
        # No name and no time of the file: equal contents make equal files.
        self._gzip = gzip.GzipFile("", "wb", compresslevel=3, fileobj=stream, mtime=0)
        self._digest = hashlib.sha256()
        self._lines: list[bytes] = []
        self._size = 0
        self.rows = 0
        self._add(asdict(header))

    def table(self, table: Table) -> None:
        """Begin a table."""
        self._add({"table": table.name, "columns": table.columns})

    def row(self, values: Sequence[Any]) -> None:
        """Add a row of the table that was begun last."""
        self.rows += 1
        self._add(values)

    def finish(self) -> None:
        """Write the last line; without it the file is no backup."""
        self._flush()
        self._add({"rows": self.rows, "sha256": self._digest.hexdigest()})
        self._flush()
        self._gzip.close()

    def _add(self, value: object) -> None:
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        self._lines.append(line)
        self._size += len(line)
        if self._size >= CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._lines)
        self._digest.update(data)
        self._gzip.write(data)
        self._lines.clear()
        self._size = 0


class BackupReader:
    """Reads a backup from a stream of bytes: `header`, then `tables` once."""

    def __init__(self, stream: IO[bytes]) -> None:
        """Read the header; raises BackupError."""
        self._gzip = gzip.GzipFile("", "rb", fileobj=stream)
        self._digest = hashlib.sha256()
        self._last: Any = None
        self.rows = 0
        self.header = _header(self._next())

    def tables(self) -> Iterator[tuple[Table, Iterator[list[Any]]]]:
        """Yield each table with its rows, which must be read before the next table.

        At the end of the file raises BackupError unless the backup is whole.
        """
        self._last = self._next()
        while isinstance(self._last, dict) and "table" in self._last:
            yield _table(self._last), self._rows()
        self._check_end(self._last)

    def _rows(self) -> Iterator[list[Any]]:
        while isinstance(row := self._next(), list):
            self.rows += 1
            yield row
        self._last = row

    def _next(self) -> Any:
        try:
            line = self._gzip.readline(MOST_LINE_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(error) from error
        if not line.endswith(b"\n"):
            raise BackupError("This is no whole backup: its end is missing.")
        try:
            value = json.loads(line)
        except ValueError as error:
            raise BackupError("This is no backup of jobs-app.") from error
        # The last line has the digest of those before it.
        if not (isinstance(value, dict) and "sha256" in value):
            self._digest.update(line)
        return value

    def _check_end(self, end: Any) -> None:
        is_end = isinstance(end, dict) and end.get("sha256") == self._digest.hexdigest()
        if not is_end or end.get("rows") != self.rows:
            raise BackupError("The backup is damaged: its checksum is another one.")
        try:
            # Reads the end of the gzip file, with the checksum of that.
            rest = self._gzip.read(1)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(error) from error
        if rest:
            raise BackupError("The backup is damaged: it goes on after its end.")


def _damaged(error: Exception) -> BackupError:
    if isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
        return BackupError("This is no backup of jobs-app.")
    if isinstance(error, EOFError):
        return BackupError("This is no whole backup: its end is missing.")
    return BackupError(f"The backup is damaged, or cannot be read: {error}.")


def _header(value: Any) -> Header:
    if not isinstance(value, dict) or value.get("backup") != "jobs-app":
        raise BackupError("This is no backup of jobs-app.")
    if value.get("format") != FORMAT:
        raise BackupError(
            f"The backup has the format {value.get('format')}, and this version of jobs-app reads"
            f" {FORMAT} only: restore it with the version that made it, {value.get('made_by')}."
        )
    try:
        header = Header(**value)
    except TypeError as error:
        raise BackupError(
            "This version of jobs-app does not know all that the backup says of itself: restore"
            f" it with the version that made it, {value.get('made_by')}."
        ) from error
    if not all(isinstance(one, str) for one in (header.revision, header.made_at, header.made_by)):
        raise BackupError("This is no backup of jobs-app.")
    return header


def _table(value: dict[str, Any]) -> Table:
    try:
        columns = tuple((str(name), Kind(kind)) for name, kind in value["columns"])
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError("The backup is damaged: it has a table without columns.") from error
    return Table(value["table"], columns)
