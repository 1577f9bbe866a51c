"""Encrypts secrets, and addresses that hold secrets, for the database.

The key is JOBS_SECRET_KEY, else the file `secret-key` in the data directory. Fernet (AES-128
in CBC with HMAC-SHA-256, from the library `cryptography`) does the work; several keys with
commas between them are a rotation: the first one encrypts, all of them decrypt.
"""

import fcntl
import hashlib
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.own_files import check_secret_file
from jobs_app.core.settings import Settings

#: The length of a key, bytes.
KEY_BYTES = 32


class Cipher:
    """Encrypts and decrypts text with one installation's keys."""

    def __init__(self, keys: str) -> None:
        """Take keys, with commas between them. Raises ConfigurationError if one is malformed."""
        library = _library()
        fernets = [library.Fernet(urlsafe_b64encode(key)) for key in keys_in(keys)]
        self.keys = len(fernets)
        self._newest = fernets[0]
        self._fernet = library.MultiFernet(fernets)
        self._invalid: type[Exception] = library.InvalidToken

    def encrypt(self, text: str) -> str:
        """Return *text* encrypted. The result differs each time."""
        return str(self._fernet.encrypt(text.encode()), "ascii")

    def decrypt(self, encrypted: str) -> str:
        """Return the decrypted text. Raises ConfigurationError if no key fits it."""
        try:
            return str(self._fernet.decrypt(encrypted), "utf-8")
        except self._invalid as error:
            raise ConfigurationError(
                "The database is encrypted with another key than this process has: "
                "give every process the same JOBS_SECRET_KEY."
            ) from error

    def reads(self, encrypted: str) -> bool:
        """Return whether one of the keys decrypts the text."""
        try:
            self.decrypt(encrypted)
        except ConfigurationError:
            return False
        return True

    def is_newest(self, encrypted: str) -> bool:
        """Return whether the first key encrypted the text."""
        try:
            self._newest.decrypt(encrypted)
        except self._invalid:
            return False
        return True

    def reencrypt(self, encrypted: str) -> str:
        """Return the text encrypted again, with the first key. Raises ConfigurationError."""
        return self.encrypt(self.decrypt(encrypted))


@cache
def _library() -> ModuleType:
    # It takes 6 MB: a process imports it when it first encrypts or decrypts.
    from cryptography import fernet  # noqa: PLC0415

    return fernet


def keys_in(text: str) -> list[bytes]:
    """Return the keys in *text*, which has commas between them.

    Raises ConfigurationError if one is malformed, or if there is none.
    """
    try:
        keys = [urlsafe_b64decode(key.strip()) for key in text.split(",") if key.strip()]
    except ValueError as error:
        raise _malformed() from error
    if any(len(key) != KEY_BYTES for key in keys):
        raise _malformed()
    if not keys:
        raise ConfigurationError("JOBS_SECRET_KEY is empty.")
    return keys


def _malformed() -> ConfigurationError:
    return ConfigurationError(
        f"JOBS_SECRET_KEY is no key: it must be {KEY_BYTES} bytes in URL-safe Base64, as "
        f"`openssl rand -base64 {KEY_BYTES} | tr +/ -_` prints them."
    )


def _new_key() -> bytes:
    return urlsafe_b64encode(os.urandom(KEY_BYTES))


def load_cipher(settings: Settings, *, makes_key: bool = False) -> Cipher:
    """Return the cipher of an installation.

    With *makes_key* a missing key file is made (mode 0600). Only a process that encrypts may
    make one: on a machine that only decrypts, a new key would fit nothing.
    Raises ConfigurationError without a key, or if others can read its file.
    """
    return Cipher(read_keys(settings, makes_key=makes_key))


def read_keys(settings: Settings, *, makes_key: bool = False) -> str:
    """Return the keys of an installation, with commas between them; as `load_cipher`."""
    if settings.secret_key is not None:
        return settings.secret_key
    path = settings.secret_key_file
    try:
        if makes_key:
            _make_key(path)
        text = path.read_text()
    except OSError as error:
        raise ConfigurationError(
            f"There is no key for secrets: set JOBS_SECRET_KEY, or {path} on every machine."
        ) from error
    check_secret_file(path)
    return text


def write_first_keys(settings: Settings, keys: str) -> bool:
    """Give *keys* to an installation that has none, and tell whether it had none."""
    path = settings.secret_key_file
    if settings.secret_key is not None or path.exists():
        return False
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, keys.strip().encode())
    return True


def begin_rotation(path: Path) -> None:
    """Put a new key in front of those in the file *path*; the old ones still decrypt.

    Until `end_rotation` a further call adds no key: a rotation that was killed goes on.
    """
    with _locked(path.parent):
        keys = path.read_text().strip()
        marker = _rotation_marker(path)
        if marker.exists() and marker.read_text() == _fingerprint(keys.partition(",")[0]):
            return
        new = _new_key().decode()
        # First: a marker without its key says nothing, but a key without its marker would stay.
        _write(marker, _fingerprint(new).encode())
        _write(path, f"{new},{keys}".encode())


def end_rotation(path: Path, *, drops_old: bool) -> None:
    """Note that everything has the first key in the file *path*.

    With *drops_old* leave only that key: text encrypted with the others is lost.
    """
    with _locked(path.parent):
        _rotation_marker(path).unlink(missing_ok=True)
        if drops_old:
            _write(path, path.read_text().partition(",")[0].strip().encode())


def _rotation_marker(path: Path) -> Path:
    """Return the file with the fingerprint of the key to which a rotation is under way."""
    return path.with_name(f"{path.name}.rotation")


def _fingerprint(key: str) -> str:
    return hashlib.sha256(key.strip().encode()).hexdigest()


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold a lock on *directory*: two rotations at once would lose a key."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _make_key(path: Path) -> None:
    """Write a new key atomically, unless there is one."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = _write_draft(path, _new_key())
    try:
        # Two processes may make a key at once: the first link wins, and both read that key.
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def _write(path: Path, data: bytes) -> None:
    """Replace the content of *path* atomically."""
    _write_draft(path, data).replace(path)


def _write_draft(path: Path, data: bytes) -> Path:
    """Write *data* to a file beside *path*, with fsync, and return its path."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return draft
