"""Signatures of messages: only with a key, and through every step of a rotation."""

import hmac
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.secrets import encryption
from jobs_app.secrets.signing import HASHED_AT_ONCE, PURPOSE, Signer, SigningKey, derive

OLD, NEW = (Fernet.generate_key().decode() for _ in range(2))


def signer(*keys: str) -> Signer:
    return Signer(Settings(secret_key=",".join(keys)))


def accepts(receiver: Signer, sender: Signer) -> bool:
    signatures = sender.sign(b"text")
    return receiver.is_known(signatures) and receiver.fits(b"text", signatures)


def test_a_signature_fits_its_text_and_its_key_only() -> None:
    signatures = signer(OLD).sign(b"text")

    assert signer(OLD).fits(b"text", signatures)
    assert not signer(OLD).fits(b"texT", signatures)
    assert not signer(NEW).is_known(signatures)
    [(key_id, mac)] = signatures.items()
    assert not signer(OLD).fits(b"text", {key_id: mac[:-1]})
    assert not signer(OLD).fits(b"text", {"other": mac})
    assert not signer(OLD).fits(b"text", {})


def test_in_each_step_of_a_rotation_each_process_accepts_each_other() -> None:
    before, meanwhile, after = signer(OLD), signer(NEW, OLD), signer(NEW)

    for step in ((before, meanwhile), (meanwhile, after)):
        assert all(accepts(receiver, sender) for receiver in step for sender in step)
    assert not accepts(before, after)
    assert not accepts(after, before)


@pytest.mark.parametrize("size", [0, 1, HASHED_AT_ONCE, HASHED_AT_ONCE + 1, 10_000])
def test_a_signature_is_an_hmac_of_any_length_of_text(size: int) -> None:
    data = bytes(range(256)) * 40

    assert SigningKey(b"key").sign(data[:size]) == hmac.digest(b"key", data[:size], "sha256").hex()


def test_the_key_of_a_signature_is_not_the_key_of_the_secrets() -> None:
    [(key_id, key)] = derive(OLD).items()

    assert key.hex() not in (OLD.encode().hex(), OLD)
    assert key_id not in key.hex()


def test_the_key_of_a_signature_is_derived_by_hkdf() -> None:
    [key] = derive(OLD).values()

    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE)
    assert key == hkdf.derive(urlsafe_b64decode(OLD))


def test_a_running_process_learns_of_a_rotated_key_file(tmp_path: Path) -> None:
    now = 0.0
    settings = Settings(data_dir=tmp_path)
    running = Signer(settings, now=lambda: now)
    running.load(makes_key=True)
    before = running.sign(b"text")

    encryption.begin_rotation(settings.secret_key_file)
    assert len(running.sign(b"text")) == 1
    now = 1.0
    both = running.sign(b"text")
    encryption.end_rotation(settings.secret_key_file, drops_old=True)
    now = 2.0
    after = running.sign(b"text")

    assert (len(before), len(both), len(after)) == (1, 2, 1)
    assert set(both) == {*before, *after}
    assert set(before) != set(after)


@pytest.mark.parametrize("damage", ["deleted", "malformed", "readable by others"])
def test_a_running_process_goes_on_with_its_key(tmp_path: Path, damage: str) -> None:
    now = 0.0
    settings = Settings(data_dir=tmp_path)
    running = Signer(settings, now=lambda: now)
    running.load(makes_key=True)
    before = running.sign(b"text")

    match damage:
        case "deleted":
            settings.secret_key_file.unlink()
        case "malformed":
            settings.secret_key_file.write_text("short")
        case _:
            settings.secret_key_file.write_text(NEW)
            settings.secret_key_file.chmod(0o644)
    now = 2.0

    assert running.sign(b"text") == before


def test_who_may_make_no_key_says_that_there_is_none(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)

    with pytest.raises(ConfigurationError, match="There is no key"):
        Signer(settings).load()

    assert not settings.secret_key_file.exists()


def test_a_malformed_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no key"):
        Signer(Settings(secret_key="short")).load()
