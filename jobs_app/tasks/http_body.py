"""Bodies of HTTP answers: unpacked by their Content-Encoding, within a limit of size.

RFC 9110 §8.4.1 has the encodings: gzip (RFC 1952) of one or more members, and deflate
(RFC 1950). Servers also send deflate without the header of zlib (RFC 1951).
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from jobs_app.core.text import counted

GZIP_BITS = zlib.MAX_WBITS | 16
GZIP_MAGIC = b"\x1f\x8b"
#: Each member is unpacked in pieces: the rest of a piece is copied where a member ends.
PIECE_BYTES = 16_384
#: A body with more encodings on top of each other stays packed.
MOST_ENCODINGS = 4


class DamagedBody(Exception):
    """A packed body cannot be unpacked to its end; the text says why."""


@dataclass(frozen=True, slots=True)
class Body:
    """An unpacked body; `is_cut` says that there was more than the limit.

    `packed_as` is the encoding that the body still has, "" if it has none. `notes` are
    sentences for the log.
    """

    content: bytes
    is_cut: bool
    packed_as: str = ""
    notes: tuple[str, ...] = ()


def unpacked(raw: bytes, content_encoding: str, *, is_cut: bool, limit_bytes: int) -> Body:
    """Return *raw*, which was cut if *is_cut*, without the encodings of its header.

    Raises DamagedBody if a packed body ends too early or has errors.
    """
    names = [name.strip().lower() for name in content_encoding.split(",")]
    encodings = [name for name in names if name not in ("", "identity")]
    body = Body(raw, is_cut)
    if not raw:
        return body
    if len(encodings) > MOST_ENCODINGS:
        return _still_packed(body, content_encoding[:60])
    # The last encoding was applied last.
    for encoding in reversed(encodings):
        if encoding in ("gzip", "x-gzip") and body.content.startswith(GZIP_MAGIC):
            body = _unpack(body, encoding, [GZIP_BITS], limit_bytes)
        elif encoding == "deflate" and body.content:
            body = _unpack(body, encoding, _deflate_formats(body.content), limit_bytes)
        else:
            return _still_packed(body, encoding[:60])
    return body


def _still_packed(body: Body, encoding: str) -> Body:
    note = f"The body is not unpacked: jobs-app cannot read it as {encoding!r}."
    return Body(body.content, body.is_cut, encoding, (*body.notes, note))


def _unpack(body: Body, encoding: str, formats: Iterable[int], limit_bytes: int) -> Body:
    """Return *body* unpacked in the first of *formats*, zlib's wbits, that can read it."""
    first_error: DamagedBody | None = None
    for bits in formats:
        try:
            content, rest = _members(body, encoding, bits, limit_bytes)
        except DamagedBody as error:
            first_error = first_error or error
            continue
        notes = body.notes
        # Zeros are padding, which gzip's manual tells readers to ignore.
        if rest.strip(b"\0"):
            are = "is" if len(rest) == 1 else "are"
            size = counted(len(rest), "byte")
            notes += (f"{size} after the end of the {encoding} body {are} left out.",)
        is_cut = body.is_cut or len(content) > limit_bytes
        return Body(content[:limit_bytes], is_cut, notes=notes)
    raise first_error or DamagedBody("there is no format")


def _deflate_formats(packed: bytes) -> list[int]:
    has_zlib_header = packed[0] & 0x0F == 8 and int.from_bytes(packed[:2]) % 31 == 0
    return [zlib.MAX_WBITS, -zlib.MAX_WBITS] if has_zlib_header else [-zlib.MAX_WBITS]


def _members(body: Body, encoding: str, bits: int, limit_bytes: int) -> tuple[bytes, bytes]:
    """Return the unpacked members of *body*, one byte above the limit at most, and the rest."""
    packed, position, content = body.content, 0, bytearray()
    while True:
        unpacker = zlib.decompressobj(bits)
        while not unpacker.eof and len(content) <= limit_bytes and position < len(packed):
            piece = packed[position : position + PIECE_BYTES]
            position += len(piece)
            try:
                content += unpacker.decompress(piece, limit_bytes + 1 - len(content))
            except zlib.error as error:
                raise DamagedBody(f"its {encoding} body has an error: {error}") from error
        if len(content) > limit_bytes or (body.is_cut and not unpacker.eof):
            return bytes(content), b""
        if not unpacker.eof:
            size = counted(len(content), "byte")
            raise DamagedBody(f"its {encoding} body is cut off after {size}")
        position -= len(unpacker.unused_data)
        if bits != GZIP_BITS or not packed.startswith(GZIP_MAGIC, position):
            return bytes(content), packed[position:]
