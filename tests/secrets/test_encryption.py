"""Encryption: stored secrets are unreadable without the key of the installation."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from jobs_app.core.errors import ConfigurationError
from jobs_app.core.settings import Settings
from jobs_app.secrets.encryption import Cipher, load_cipher


def test_an_encrypted_text_is_unreadable_and_decrypts_again(tmp_path: Path) -> None:
    cipher = load_cipher(Settings(data_dir=tmp_path), makes_key=True)

    encrypted = cipher.encrypt("pässword")

    assert "ssword" not in encrypted
    assert cipher.decrypt(encrypted) == "pässword"


def test_the_same_text_is_encrypted_differently_each_time(tmp_path: Path) -> None:
    cipher = load_cipher(Settings(data_dir=tmp_path), makes_key=True)

    assert cipher.encrypt("x") != cipher.encrypt("x")


def test_a_key_file_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    encrypted = load_cipher(settings, makes_key=True).encrypt("x")

    again = load_cipher(settings, makes_key=True)

    assert again.decrypt(encrypted) == "x"
    assert settings.secret_key_file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.data_dir.iterdir()] == ["secret-key"]


def test_processes_that_make_the_key_at_once_agree_on_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(1) as pool:
        ciphers = list(pool.map(lambda _: load_cipher(settings, makes_key=True), range(8)))

    assert {cipher.decrypt(ciphers[0].encrypt("x")) for cipher in ciphers} == {"x"}


def test_a_process_that_only_decrypts_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="JOBS_SECRET_KEY"):
        load_cipher(Settings(data_dir=tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    load_cipher(settings, makes_key=True)
    settings.secret_key_file.chmod(0o640)

    with pytest.raises(ConfigurationError, match="0600"):
        load_cipher(settings)


def test_a_text_of_the_old_key_is_reencrypted_with_the_new_one() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    encrypted = Cipher(old).encrypt("x")

    reencrypted = Cipher(f"{new}, {old}").reencrypt(encrypted)

    assert Cipher(new).decrypt(reencrypted) == "x"


def test_the_error_of_another_key_says_what_to_do() -> None:
    encrypted = Cipher(Fernet.generate_key().decode()).encrypt("x")

    with pytest.raises(ConfigurationError, match="same JOBS_SECRET_KEY"):
        Cipher(Fernet.generate_key().decode()).decrypt(encrypted)


@pytest.mark.parametrize("keys", ["", " , ", "short", "é" * 43])
def test_an_invalid_key_is_refused(keys: str) -> None:
    with pytest.raises(ConfigurationError, match="JOBS_SECRET_KEY"):
        Cipher(keys)


def test_a_changed_text_is_refused() -> None:
    cipher = Cipher(Fernet.generate_key().decode())

    with pytest.raises(ConfigurationError):
        cipher.decrypt(cipher.encrypt("x")[:-3] + "AA=")
