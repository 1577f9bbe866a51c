"""The settings that are lists with commas, as tuples."""

from typing import TYPE_CHECKING


class SettingLists:
    """The lists in the settings that a subclass has."""

    if TYPE_CHECKING:  # pydantic would put them before all other settings
        imports: str
        worker_queues: str
        shell_users: str
        shell_default_user: str | None

    @property
    def import_modules(self) -> tuple[str, ...]:
        """The modules of JOBS_IMPORTS, in order."""
        return items(self.imports)

    @property
    def queues(self) -> tuple[str, ...]:
        """The queues of JOBS_WORKER_QUEUES, in order."""
        return items(self.worker_queues)

    @property
    def shell_accounts(self) -> tuple[str, ...]:
        """The accounts that a job may name: those of JOBS_SHELL_USERS, and the default one."""
        names = [*items(self.shell_users), self.shell_default_user]
        return tuple(dict.fromkeys(filter(None, names)))


def items(text: str) -> tuple[str, ...]:
    """Return the parts of a list with commas, without spaces around them."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
