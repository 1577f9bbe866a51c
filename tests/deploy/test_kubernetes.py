"""deploy/kubernetes.yaml: as data, and in the nightly profile by the schemas of Kubernetes."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/kubernetes.yaml"
PAGE = ROOT / "docs/kubernetes.md"

#: The checker, and the releases of Kubernetes whose schemas it brings.
CHECKER, RELEASES = "kubernetes-validate==1.37.0", ("1.37", "1.30")


@pytest.fixture(scope="module")
def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(EXAMPLE.read_text()))


@pytest.fixture(scope="module")
def pods(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What runs, by name."""
    return {
        document["metadata"]["name"]: document["spec"]["template"]["spec"]
        for document in documents
        if document["kind"] == "Deployment"
    }


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod.get("initContainers", ()), *pod["containers"]]


def test_no_container_has_rights_it_does_not_need(pods) -> None:
    for name, pod in pods.items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in containers(pod):
            assert container["securityContext"] == {
                "readOnlyRootFilesystem": True,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert container["resources"]["limits"]["memory"], name
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, name


def test_no_job_fills_the_disk_of_its_node(pods) -> None:
    volumes = [(name, volume) for name, pod in pods.items() for volume in pod["volumes"]]
    unlimited = [(name, volume["name"]) for name, volume in volumes if volume.get("emptyDir") == {}]

    assert unlimited == []


def test_commands_do_not_reach_the_metadata_of_a_cloud(documents: list[dict[str, Any]]) -> None:
    (policy,) = [one for one in documents if one["metadata"]["name"] == "jobs-app-outside"]
    blocks = [peer["ipBlock"] for peer in policy["spec"]["egress"][0]["to"] if "ipBlock" in peer]

    assert {name for block in blocks for name in block["except"]} == {
        "169.254.169.254/32",
        "fd00:ec2::254/128",
    }
    (expression,) = policy["spec"]["podSelector"]["matchExpressions"]
    assert "worker" in expression["values"]


def test_no_variable_of_a_service_can_be_taken_for_a_setting(pods) -> None:
    assert all(pod["enableServiceLinks"] is False for pod in pods.values())


def test_a_second_scheduler_stands_by(documents: list[dict[str, Any]]) -> None:
    replicas = {
        document["metadata"]["name"]: document["spec"]["replicas"]
        for document in documents
        if document["kind"] == "Deployment"
    }

    assert replicas == {"postgres": 1, "valkey": 1, "web": 1, "scheduler": 2, "worker": 2}


def test_everything_of_ours_migrates_first_and_has_a_probe(pods) -> None:
    for name in ("web", "scheduler", "worker"):
        [first] = pods[name]["initContainers"]
        [main] = pods[name]["containers"]
        assert (first["args"], main["args"]) == (["migrate"], [name])
        assert first["image"] == main["image"]
        assert "livenessProbe" in main
    [web] = pods["web"]["containers"]
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_secrets_come_as_files_that_the_document_makes(pods) -> None:
    made: dict[str, set[str]] = {
        name: {Path(file).name for file in re.findall(r"--from-file=(\S+)", files)}
        for name, files in re.findall(
            r"create secret generic (\S+) ((?:\\?\s*--from-file=\S+ *)+)", PAGE.read_text()
        )
    }

    used = {
        volume["secret"]["secretName"]
        for pod in pods.values()
        for volume in pod["volumes"]
        if "secret" in volume
    }

    assert used == made.keys()
    assert made["jobs-app-secrets"] == {"jobs_database_url", "jobs_redis_url", "jobs_secret_key"}
    assert "secretKeyRef" not in EXAMPLE.read_text()


def test_the_hosts_in_the_secrets_are_services(documents, tmp_path: Path) -> None:
    subprocess.run([ROOT / "deploy/make-secrets", tmp_path], check=True, capture_output=True)
    services = {d["metadata"]["name"]: d["spec"] for d in documents if d["kind"] == "Service"}

    for name in ("jobs_database_url", "jobs_redis_url"):
        host, port = re.findall(r"@([a-z]+):(\d+)/", (tmp_path / name).read_text())[0]
        assert services[host]["ports"][0]["port"] == int(port)


def test_each_service_and_policy_selects_pods_that_there_are(documents) -> None:
    labels = [
        document["spec"]["template"]["metadata"]["labels"]
        for document in documents
        if document["kind"] == "Deployment"
    ]

    for document in documents:
        if document["kind"] == "Service":
            wanted = document["spec"]["selector"].items()
            assert sum(wanted <= each.items() for each in labels) == 1
    components = {each["app.kubernetes.io/component"] for each in labels}
    [stores] = [d for d in documents if d["metadata"]["name"] == "jobs-app-stores"]
    [closed] = stores["spec"]["podSelector"]["matchExpressions"]
    [open_to] = stores["spec"]["ingress"][0]["from"]
    [callers] = open_to["podSelector"]["matchExpressions"]
    assert set(closed["values"]) | set(callers["values"]) == components


@pytest.mark.nightly
def test_the_schemas_of_kubernetes_find_nothing(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    installed = subprocess.run(
        [venv / "bin/pip", "install", "--quiet", CHECKER], capture_output=True, text=True
    )
    if installed.returncode:
        pytest.skip(f"{CHECKER} cannot be installed: {installed.stderr[-300:]}")
    check: list[str | Path] = [venv / "bin/kubernetes-validate", "--strict"]
    misspelt = tmp_path / "misspelt.yaml"
    misspelt.write_text(EXAMPLE.read_text().replace("runAsNonRoot", "runAsNonroot", 1))

    for release in RELEASES:
        answer = subprocess.run([*check, "-k", release, EXAMPLE], capture_output=True, text=True)
        assert answer.returncode == 0, answer.stdout + answer.stderr
    assert subprocess.run([*check, misspelt], capture_output=True).returncode == 1
