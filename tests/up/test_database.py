"""`jobs-app up` prepares the database before its processes start."""

from jobs_app.secrets.encryption import Cipher


def test_the_key_of_the_secrets_is_made_and_is_in_no_environment(running):
    key = (running.data_dir / "secret-key").read_text()

    assert Cipher(key).keys == 1
    for name in ("web", "worker", "scheduler"):
        assert key not in (running.data_dir / f"{name}.environment").read_text()


def test_a_key_that_is_none_is_refused_before_anything_starts(make_up):
    up = make_up()
    up.environment["JOBS_SECRET_KEY"] = "c4n4ry"
    up.start()

    assert up.exit_code() != 0
    assert "JOBS_SECRET_KEY is no key" in up.printed
    assert "c4n4ry" not in up.printed
    assert up.notes() == []
