"""Passwords: few rules, slow hashes, and not many of them at once."""

import threading
import time

import pytest

from jobs_app.accounts import passwords
from jobs_app.core.errors import InvalidInput


@pytest.mark.parametrize(
    "password, sentence",
    [
        ("short", "10 characters or more"),
        ("x" * 1025, "at most 1024 bytes"),
        ("é" * 513, "at most 1024 bytes"),
        ("Ann.Example", "not be the name"),
        ("Password123", "commonest"),
        ("qwertyuiop", "commonest"),
    ],
)
def test_a_password_that_others_guess_is_refused(password: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence) as caught:
        passwords.check(password, "ann.example")

    assert [error.pointer for error in caught.value.errors] == ["/password"]


@pytest.mark.parametrize("password", ["a b c d e f", "tortoise lamp", "x" * 1024, "密码" * 5])
def test_nothing_else_is_asked_of_a_password(password: str) -> None:
    passwords.check(password, "ann")


def test_a_hash_is_argon2id_with_the_parameters_that_are_promised() -> None:
    password_hash = passwords.hashed("tortoise lamp")

    assert password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.is_right("tortoise lamp", password_hash)
    assert not passwords.is_right("tortoise Lamp", password_hash)
    assert not passwords.is_right("x" * 2000, password_hash)
    assert not passwords.is_right("the password of nobody", None)
    assert not passwords.is_right("tortoise lamp", "no hash at all")
    assert not passwords.is_outdated(password_hash)
    assert passwords.is_outdated(password_hash.replace("t=2", "t=1"))


def test_a_letter_in_two_codes_is_the_same_letter() -> None:
    assert passwords.is_right("cafe\u0301 caf\u00e9", passwords.hashed("caf\u00e9 cafe\u0301"))


def test_at_most_four_passwords_are_verified_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    password_hash = passwords.hashed("tortoise lamp")
    hasher = passwords._HASHER
    present, most, lock = 0, 0, threading.Lock()

    class Watched:
        """The hasher, with a count of the calls under way."""

        def verify(self, known: str, password: str) -> bool:
            nonlocal present, most
            with lock:
                present += 1
                most = max(most, present)
            try:
                time.sleep(0.02)
                return hasher.verify(known, password)
            finally:
                with lock:
                    present -= 1

    passwords.is_right("x", None)
    monkeypatch.setattr(passwords, "_HASHER", Watched())
    threads = [
        threading.Thread(target=passwords.is_right, args=("tortoise lamp", password_hash))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == passwords.MOST_AT_ONCE == 4
