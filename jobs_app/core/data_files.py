"""The files of an installation in its data directory."""

from pathlib import Path


class DataFiles:
    """The paths of the files below `data_dir`, which a subclass has."""

    data_dir: Path

    @property
    def redis_url_file(self) -> Path:
        """The file in which `up` writes the URL of the embedded Valkey (mode 0600)."""
        return self.data_dir / "redis-url"

    @property
    def database_marker_file(self) -> Path:
        """The file that says that the embedded database was created once."""
        return self.data_dir / "jobs.db-was-made"

    @property
    def admin_token_file(self) -> Path:
        """The file with the admin token of a new installation (mode 0600)."""
        return self.data_dir / "admin-token"

    @property
    def admin_token_header_file(self) -> Path:
        """The same token as a header, for `curl -H @FILE` (mode 0600)."""
        return self.data_dir / "admin-token.header"

    @property
    def secret_key_file(self) -> Path:
        """The file with the key of the secrets (mode 0600) if JOBS_SECRET_KEY is not set."""
        return self.data_dir / "secret-key"
