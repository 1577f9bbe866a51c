"""What compose.yaml, the Dockerfile and the secrets promise, as far as no engine is needed."""

import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from jobs_app import __version__
from jobs_app.core.own_files import open_data_dir
from jobs_app.core.settings import Settings
from jobs_app.up.valkey import free_port, valkey_binary
from tests.servers import wait_until

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "compose.yaml"
OURS = ["migrate", "web", "scheduler", "worker"]


def script(name: str) -> str:
    """Return the path of a program that came with the tests' packages."""
    return str(Path(sys.executable).with_name(name))


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return services


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    directory = tmp_path / "secrets"
    subprocess.run([ROOT / "deploy/make-secrets", directory], check=True, capture_output=True)
    return directory


@pytest.mark.parametrize(
    "command",
    [
        [
            script("check-jsonschema"),
            "--builtin-schema",
            "vendor.compose-spec",
            "compose.yaml",
        ],
        [script("hadolint"), "Dockerfile"],
        [script("podman-compose"), "--dry-run", "-f", "compose.yaml", "config"],
    ],
    ids=["compose-spec", "hadolint", "podman-compose"],
)
def test_the_checkers_of_others_find_nothing(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_web_server_is_published_and_only_on_loopback(services) -> None:
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}

    assert list(ports) == ["web"]
    assert all(port.startswith("127.0.0.1:") for port in ports["web"])


def test_no_container_has_rights_it_does_not_need(services) -> None:
    for name, service in services.items():
        uid = service["user"].partition(":")[0]
        assert int(uid) != 0, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert not service.get("privileged"), name


def test_secrets_come_as_files_and_never_inline(services) -> None:
    for name, service in services.items():
        assert service["secrets"], name
        for variable, value in service.get("environment", {}).items():
            if variable == "JOBS_PUBLIC_URL":
                continue
            is_secret = any(word in variable for word in ("PASSWORD", "TOKEN", "SECRET", "_URL"))
            assert not is_secret or str(value).startswith("/run/secrets/"), f"{name}: {variable}"


def test_everything_starts_after_what_it_needs_is_healthy(services) -> None:
    assert services["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for name in ("web", "scheduler", "worker"):
        assert services[name]["depends_on"] == {
            "migrate": {"condition": "service_completed_successfully"},
            "valkey": {"condition": "service_healthy"},
        }
    lasting = [name for name in services if name != "migrate"]
    assert all("test" in services[name]["healthcheck"] for name in lasting)


def test_all_that_speak_to_other_hosts_reach_them(services) -> None:
    networks = yaml.safe_load(COMPOSE.read_text())["networks"]
    closed = {name for name, network in networks.items() if network.get("internal")}

    reaching = {name for name, service in services.items() if set(service["networks"]) - closed}

    # Jobs run in workers; the scheduler sends notifications; `web` is published.
    assert reaching == {"web", "scheduler", "worker"}


def test_one_service_builds_the_image_that_the_others_use(services) -> None:
    assert [name for name in OURS if "build" in services[name]] == ["migrate"]
    assert {services[name]["pull_policy"] for name in OURS if name != "migrate"} == {"never"}


def test_no_container_can_use_up_the_machine(services) -> None:
    for name, service in services.items():
        assert service["pids_limit"], name
        assert service["mem_limit"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name


def test_no_temporary_directory_has_an_option_that_podman_refuses(services) -> None:
    options = [mount.partition(":")[2] for s in services.values() for mount in s["tmpfs"]]

    assert set(options) == {"mode=1777"}


def test_the_label_of_the_image_is_the_version_of_the_package() -> None:
    label = re.search(r'image\.version="([^"]+)"', (ROOT / "Dockerfile").read_text())

    assert label is not None
    assert label[1] == __version__


def test_workers_and_schedulers_can_be_scaled(services) -> None:
    for name in ("worker", "scheduler"):
        # A name, a host name or a published port would belong to one container only.
        assert not {"container_name", "hostname", "ports"} & services[name].keys()


def test_a_second_scheduler_stands_by(services) -> None:
    assert services["scheduler"]["deploy"] == {"replicas": 2}


def test_settings_come_from_a_file_that_may_be_missing(services) -> None:
    assert {name for name, service in services.items() if "env_file" in service} == set(OURS)
    for name in OURS:
        service = services[name]
        assert service["env_file"] == [{"path": ".env", "required": False}]
        # The same file has the port of the machine, which is none of the container's.
        assert {"JOBS_PORT", "JOBS_DATA_DIR"} <= service["environment"].keys()
        assert service["environment"]["JOBS_PORT"] == "5000"
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_document_names_each_variable_with_its_default() -> None:
    used = dict(re.findall(r"\$\{(\w+):-((?:\$\{[^}]*\}|[^}])*)\}", COMPOSE.read_text()))
    page = (ROOT / "docs/containers.md").read_text()
    documented = dict(re.findall(r"^\| `(JOBS_\w+)` \| ([^|]*) \|", page, re.MULTILINE))

    assert documented.keys() == used.keys()
    for name, default in used.items():
        if "${" not in default:
            assert documented[name].strip("`") == (default or "-"), name


def test_each_image_of_others_can_be_pinned(services) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()

    named = [services[name]["image"] for name in ("postgres", "valkey")]
    built_from = services["migrate"]["build"]["args"]["PYTHON_IMAGE"]

    assert all(image.startswith("${JOBS_") for image in (*named, built_from))
    assert set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    assert f"ARG PYTHON_IMAGE={built_from.partition(':-')[2].rstrip('}')}\n" in dockerfile


def test_all_processes_run_from_the_one_image_with_a_command_of_their_own(services) -> None:
    assert [services[name]["command"] for name in OURS] == [[name] for name in OURS]
    assert len({services[name]["image"] for name in OURS}) == 1


def test_the_image_runs_as_a_numbered_user_and_copies_no_secrets() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    reaches_builder = (ROOT / ".dockerignore").read_text().splitlines()

    assert "\nUSER 10001:10001\n" in dockerfile
    assert "*" in reaches_builder
    assert not any("secrets" in line for line in reaches_builder if line.startswith("!"))


def test_everything_that_the_dockerfile_copies_reaches_the_builder() -> None:
    let_through = {
        line[1:].rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    copied = [
        source.rstrip("/")
        for line in (ROOT / "Dockerfile").read_text().splitlines()
        if line.startswith("COPY ") and "--from=" not in line
        for source in line.split()[1:-1]
    ]

    assert set(copied) == let_through
    assert all((ROOT / source).exists() for source in copied)


def test_secrets_are_random_and_kept_from_other_users(secrets: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([ROOT / "deploy/make-secrets", other], check=True, capture_output=True)

    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    for file in secrets.iterdir():
        assert file.read_text() != (other / file.name).read_text()


def test_secrets_are_never_overwritten(secrets: Path) -> None:
    before = {file.name: file.read_text() for file in secrets.iterdir()}

    subprocess.run([ROOT / "deploy/make-secrets", secrets], check=True, capture_output=True)

    assert {file.name: file.read_text() for file in secrets.iterdir()} == before


def test_every_secret_of_compose_is_made(secrets: Path) -> None:
    declared = yaml.safe_load(COMPOSE.read_text())["secrets"]

    assert {Path(secret["file"]).name for secret in declared.values()} == {
        file.name for file in secrets.iterdir()
    }


def test_the_settings_read_the_mounted_secrets(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("JOBS_DATABASE_URL", "JOBS_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(Settings.model_config, "secrets_dir", secrets)

    settings = Settings()

    password = (secrets / "postgres_password").read_text().strip()
    assert settings.effective_database_url == (
        f"postgresql+psycopg://jobs:{password}@postgres:5432/jobs"
    )
    assert settings.effective_redis_url == (secrets / "jobs_redis_url").read_text().strip()


@pytest.mark.parametrize("name", OURS)
def test_each_process_accepts_its_data_directory(services, name: str, tmp_path: Path) -> None:
    service = services[name]
    file_systems = []
    for mount in service["tmpfs"]:
        path, _, mode = mount.partition(":mode=")
        file_systems.append(tmp_path / path.removeprefix("/"))
        file_systems[-1].mkdir()
        file_systems[-1].chmod(int(mode, 8))
    # A new volume is like the directory of the image.
    for volume in service.get("volumes", ()):
        (tmp_path / volume.partition(":/")[2]).mkdir(mode=0o700)
    data_dir = tmp_path / service["environment"]["JOBS_DATA_DIR"].removeprefix("/")

    open_data_dir(data_dir)

    data_dir.mkdir(exist_ok=True)
    # The top of a file system belongs to root, whom these tests may be.
    assert data_dir not in file_systems


def test_valkey_starts_as_compose_starts_it(services, secrets: Path, tmp_path: Path) -> None:
    port = free_port()
    places = {
        "valkey-server": str(valkey_binary()),
        "/run/secrets/valkey_conf": str(secrets / "valkey_conf"),
        "/data": str(tmp_path),
    }
    # Compose fills in the defaults of variables.
    command = [
        re.sub(r"^\$\{\w+:-(.*)\}$", r"\1", places.get(word, word))
        for word in services["valkey"]["command"]
    ]
    server = subprocess.Popen(
        [*command, "--port", str(port), "--bind", "127.0.0.1"], stdout=subprocess.DEVNULL
    )
    password = (secrets / "valkey_conf").read_text().split()[1]
    client = redis.Redis(port=port, password=password, decode_responses=True)
    try:
        wait_until(lambda: answers(client), "Valkey answers with the password")

        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        # A full one refuses messages before the limit of the container kills it.
        most = int(str(client.config_get("maxmemory")["maxmemory"]))
        limit = re.sub(r".*:-(\d+)m\}", r"\1", services["valkey"]["mem_limit"])
        assert 0 < most <= 0.8 * int(limit) * 2**20
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        assert password.encode() not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
    finally:
        client.close()
        server.terminate()
        server.wait(timeout=10)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_scripts_are_executable_and_name_their_shell() -> None:
    for name in ("run", ".ci/run", "deploy/lock", "deploy/make-secrets", "deploy/prove"):
        assert shutil.which(ROOT / name), name
        assert (ROOT / name).read_text().startswith("#!/"), name
