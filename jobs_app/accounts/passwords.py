"""Passwords: what they must be, and their hashes by argon2id."""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from jobs_app.core.errors import FieldError, Unavailable, refuse

LEAST_CHARS = 10
MOST_BYTES = 1024

RULE = f"{LEAST_CHARS} characters or more"

#: 19 MiB for 0.04 seconds: the least that OWASP recommends for argon2id.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

#: Each holds 19 MiB and a processor: many sign-ins at once must not take the whole machine.
MOST_AT_ONCE = 4
WAIT_SECONDS = 5.0

_slots = threading.BoundedSemaphore(MOST_AT_ONCE)


def check(password: str, name: str) -> None:
    """Raise InvalidInput for a password that the account *name* cannot have."""
    if sentence := _fault(normal(password), name):
        refuse([FieldError("/password", "invalid_password", sentence)])


def normal(password: str) -> str:
    """Return *password* with one code for each letter: systems send "é" in two ways."""
    return unicodedata.normalize("NFC", password)


def hashed(password: str) -> str:
    """Return the hash to store. Raises Unavailable if too many are being made."""
    with _slot():
        return _HASHER.hash(normal(password))


def is_right(password: str, password_hash: str | None) -> bool:
    """Tell whether *password* has this hash.

    Without a hash it takes the same time: nobody can tell which names exist. Raises Unavailable
    if too many are being verified.
    """
    dummy = _dummy_hash()
    if len(normal(password).encode("utf-8", "replace")) > MOST_BYTES:
        return False
    with _slot():
        try:
            _HASHER.verify(password_hash or dummy, normal(password))
        except (VerificationError, InvalidHashError):
            return False
    return password_hash is not None


def is_outdated(password_hash: str) -> bool:
    """Tell whether the hash was made with other parameters than today's."""
    return _HASHER.check_needs_rehash(password_hash)


def _fault(password: str, name: str) -> str:
    if len(password) < LEAST_CHARS:
        return f"The password must have {RULE}."
    if len(password.encode("utf-8", "replace")) > MOST_BYTES:
        return f"The password must have at most {MOST_BYTES} bytes."
    if password.lower() == name.lower():
        return "The password must not be the name."
    if password.lower() in _common_passwords():
        return "This password is one of the commonest: choose another one."
    return ""


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(timeout=WAIT_SECONDS):
        raise Unavailable("Too many people sign in at this moment: try again in a few seconds.")
    try:
        yield
    finally:
        _slots.release()


@cache
def _dummy_hash() -> str:
    return _HASHER.hash("the password of nobody")


@cache
def _common_passwords() -> frozenset[str]:
    lines = Path(__file__).with_name("common_passwords.txt").read_text().splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))
