"""The addresses of channels without the API."""

from cryptography.fernet import Fernet
from sqlalchemy import select

from jobs_app.db.engine import Database
from jobs_app.db.models.notifications import NotificationChannel
from jobs_app.secrets import rotation
from jobs_app.secrets.encryption import Cipher
from tests.factories import NOON
from tests.notification_checks import KEY, NOWHERE, make_channel


def test_a_rotation_of_the_key_reencrypts_the_addresses_of_channels(database: Database) -> None:
    make_channel(database)
    new = Fernet.generate_key().decode()

    rotation.reencrypt(database, Cipher(f"{new},{KEY}"), by="tester", at=NOON)

    with database.reading() as session:
        encrypted = session.scalars(select(NotificationChannel.encrypted)).one()
    assert NOWHERE in Cipher(new).decrypt(encrypted)
