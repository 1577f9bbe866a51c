"""Packed bodies are read whole, or an error says why not."""

import gzip
import random
import zlib

import pytest

from jobs_app.tasks.http_body import DamagedBody, unpacked

TEXT = b"0123456789" * 9_000
NOISE = random.Random(1).randbytes(50_000)


def deflated(content: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(content) + packer.flush()


PACKED = {
    "one member": ("gzip", gzip.compress(TEXT)),
    "two members": ("x-gzip", gzip.compress(TEXT[:7]) + gzip.compress(TEXT[7:])),
    "empty members": ("GZIP", gzip.compress(b"") * 3 + gzip.compress(TEXT) + gzip.compress(b"")),
    "padding": ("gzip", gzip.compress(TEXT) + b"\0" * 20_000),
    "deflate": ("deflate", deflated(TEXT, 15)),
    "deflate without header": ("deflate", deflated(TEXT, -15)),
    "two encodings": ("deflate, gzip", gzip.compress(deflated(TEXT, 15))),
    "no encoding": ("identity", TEXT),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_packed_body_is_read_whole(name):
    encoding, raw = PACKED[name]

    body = unpacked(raw, encoding, is_cut=False, limit_bytes=len(TEXT))

    assert (body.content, body.is_cut, body.notes) == (TEXT, False, ())


@pytest.mark.parametrize("name", PACKED.keys() - {"no encoding"})
@pytest.mark.parametrize("limit_bytes", [0, 1, 6, 7, 16_384, len(TEXT) - 1])
def test_a_packed_body_above_the_limit_is_cut_there(name, limit_bytes):
    encoding, raw = PACKED[name]

    body = unpacked(raw, encoding, is_cut=False, limit_bytes=limit_bytes)

    assert body.is_cut
    # The inner encoding of two is cut too, so that less may be left of the text.
    assert body.content == TEXT[: len(body.content) if "," in encoding else limit_bytes]


@pytest.mark.parametrize("size", [-1, -8, -9, -300, 25_000, 11])
@pytest.mark.parametrize(
    "encoding, raw", [("gzip", gzip.compress(NOISE)), ("deflate", deflated(NOISE, 15))]
)
def test_a_packed_body_that_ends_early_is_an_error(encoding, raw, size):
    with pytest.raises(DamagedBody, match=f"{encoding} body is cut off"):
        unpacked(raw[:size], encoding, is_cut=False, limit_bytes=10**6)


def test_a_second_member_that_ends_early_is_an_error():
    raw = gzip.compress(TEXT) + gzip.compress(NOISE)[:-20_000]

    with pytest.raises(DamagedBody, match="cut off"):
        unpacked(raw, "gzip", is_cut=False, limit_bytes=10**6)


def test_a_packed_body_that_we_cut_is_read_as_far_as_it_goes():
    body = unpacked(gzip.compress(NOISE)[:25_000], "gzip", is_cut=True, limit_bytes=25_000)

    assert body.is_cut
    assert NOISE.startswith(body.content)
    assert len(body.content) > 20_000


def test_a_damaged_body_is_an_error():
    raw = bytearray(gzip.compress(TEXT))
    raw[-6] ^= 1  # the checksum

    with pytest.raises(DamagedBody, match="has an error"):
        unpacked(bytes(raw), "gzip", is_cut=False, limit_bytes=10**6)


def test_bytes_after_the_end_are_left_out_with_a_note():
    body = unpacked(gzip.compress(TEXT) + b"garbage", "gzip", is_cut=False, limit_bytes=10**6)

    assert body.content == TEXT
    assert body.notes == ("7 bytes after the end of the gzip body are left out.",)


@pytest.mark.parametrize("encoding", ["br", "zstd", "utf-8", "gzip", "br, gzip", "gzip, " * 5])
def test_an_encoding_that_cannot_be_read_leaves_the_body_as_it_is_with_a_note(encoding):
    raw = gzip.compress(b"x") if "," in encoding else b"plain"

    body = unpacked(raw, encoding, is_cut=False, limit_bytes=10**6)

    assert body.content in (raw, b"x")
    assert body.packed_as
    assert len(body.notes) == 1
    assert "not unpacked" in body.notes[0]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_an_empty_body_has_no_encoding(encoding):
    assert unpacked(b"", encoding, is_cut=False, limit_bytes=10).notes == ()
