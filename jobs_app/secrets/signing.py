"""Signs messages with keys that are derived from the keys of the installation's secrets.

The derivation is HKDF (RFC 5869), the signature HMAC-SHA-256 (RFC 2104). Every key signs, and
one signature that fits is enough: so a new key can be rolled out one process at a time.
"""

import hmac
import logging
import time
from collections.abc import Callable, Mapping

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.secrets.encryption import keys_in, read_keys

log = logging.getLogger(__name__)

#: The purpose of the derived keys: a key for another purpose differs.
PURPOSE = b"jobs-app messages"

#: Time between two checks whether the key file has changed, seconds.
CHECK_SECONDS = 1.0

#: Signatures of one message, by the id of their key.
Signatures = Mapping[str, str]

#: For this many bytes at once hashlib keeps Python's global lock, which another thread of a busy
#: worker would hold for milliseconds.
HASHED_AT_ONCE = 2047


def derive(keys: str) -> dict[str, bytes]:
    """Return the signing keys of *keys* (with commas between them) by their ids.

    Raises ConfigurationError if one is malformed.
    """
    signing_keys = map(_derive, keys_in(keys))
    return {hmac.digest(key, b"id", "sha256").hex()[:8]: key for key in signing_keys}


def _derive(key: bytes) -> bytes:
    # HKDF (RFC 5869) with SHA-256, without a salt, for 32 bytes, which are one block.
    pseudorandom_key = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(pseudorandom_key, PURPOSE + b"\x01", "sha256")


class SigningKey:
    """One key, prepared to sign many messages."""

    def __init__(self, key: bytes) -> None:
        self._empty = hmac.new(key, digestmod="sha256")

    def sign(self, data: bytes) -> str:
        """Return the signature of *data*: 64 hexadecimal digits."""
        mac = self._empty.copy()
        for start in range(0, len(data), HASHED_AT_ONCE):
            mac.update(data[start : start + HASHED_AT_ONCE])
        return mac.hexdigest()


class Signer:
    """Signs and checks messages with the keys of an installation, also after they change.

    The first use reads the keys.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._now = now
        self._keys: dict[str, SigningKey] = {}
        self._version: tuple[int, int, int] | None = None
        self._next_check = 0.0

    def load(self, *, makes_key: bool = False) -> None:
        """Read the keys now. Raises ConfigurationError without a key.

        With *makes_key* a missing key file is made. A worker must not make one, because no
        other process would have that key.
        """
        derived = derive(read_keys(self._settings, makes_key=makes_key))
        self._keys = {key_id: SigningKey(key) for key_id, key in derived.items()}
        self._version = self._file_version()

    @property
    def keys(self) -> dict[str, SigningKey]:
        """The signing keys by their ids, read anew when their file has changed."""
        now = self._now()
        if now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            if not self._keys:
                self.load()
            elif self._file_version() != self._version:
                self._reload()
        return self._keys

    def _reload(self) -> None:
        try:
            self.load()
        except ConfigurationError as error:
            # A running process goes on with the keys that it has.
            log.error("key_not_read error=%s", error)
            self._version = self._file_version()

    def sign(self, data: bytes) -> dict[str, str]:
        """Return the signatures of *data* by the ids of their keys."""
        return {key_id: key.sign(data) for key_id, key in self.keys.items()}

    def is_known(self, signatures: Signatures) -> bool:
        """Tell whether any of *signatures* is said to be of a key of ours."""
        return any(key_id in self.keys for key_id in signatures)

    def fits(self, data: bytes, signatures: Signatures) -> bool:
        """Tell whether one of our keys has signed *data*."""
        return any(
            hmac.compare_digest(key.sign(data), signatures[key_id])
            for key_id, key in self.keys.items()
            if key_id in signatures
        )

    def _file_version(self) -> tuple[int, int, int] | None:
        if self._settings.secret_key is not None:
            return None
        try:
            status = self._settings.secret_key_file.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
