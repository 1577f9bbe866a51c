"""Settings with secrets: kept out of the environment, and handed from `up` to its processes."""

import json
import os
from collections.abc import Iterable, Mapping

from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource

_values: dict[str, str] = {}


def receive(fd: int) -> None:
    """Read the settings that `send` writes to the other end of the pipe *fd*, and close it."""
    with os.fdopen(fd, "rb") as pipe:
        _values.update(json.loads(pipe.read()))


def send(fd: int, settings: Mapping[str, str]) -> None:
    """Write *settings*, by field, to the pipe *fd*, and close it."""
    with os.fdopen(fd, "wb") as pipe:
        pipe.write(json.dumps(dict(settings)).encode())


def take_from_environment(fields: Iterable[str]) -> None:
    """Move the variables of *fields* out of the environment.

    The programs that a Python task starts then do not inherit them.
    """
    names = {f"JOBS_{field}".upper(): field for field in fields}
    for name in list(os.environ):
        # Settings ignores case too.
        if (field := names.get(name.upper())) is not None:
            _values[field] = os.environ.pop(name)


class HandedSettings(BaseSettings):
    """Settings of which some come through a pipe: those whose fields say `repr=False`."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read those that `up` has handed to this process before the variables."""
        handed = InitSettingsSource(settings_cls, init_kwargs=dict(_values))
        return init_settings, handed, env_settings, file_secret_settings

    @classmethod
    def secret_fields(cls) -> frozenset[str]:
        """Return the fields whose values may hold a password or a key."""
        return frozenset(name for name, field in cls.model_fields.items() if not field.repr)
