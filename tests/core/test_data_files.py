"""The files of an installation lie in its data directory."""

from pathlib import Path

from jobs_app.core.settings import Settings


def test_each_file_lies_in_the_data_directory(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)

    files = [
        settings.redis_url_file,
        settings.database_marker_file,
        settings.admin_token_file,
        settings.admin_token_header_file,
        settings.secret_key_file,
    ]

    assert {file.parent for file in files} == {tmp_path}
    assert len({file.name for file in files}) == len(files)
