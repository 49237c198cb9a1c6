"""The manifests in deploy/kubernetes, against Kubernetes' own schemas and our settings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.app import create_app
from gateway.config.loader import build_config
from gateway.config.settings import Config
from tests.deploy.test_dockerfile import IMAGES
from tests.deploy.variables import check_variables

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
VERSION = kubernetes_validate.latest_version()


def manifests() -> Iterator[dict[str, Any]]:
    for name in KUSTOMIZATION["resources"]:
        yield from yaml.safe_load_all((FOLDER / name).read_text())


def manifest(kind: str, name: str) -> dict[str, Any]:
    wanted = (kind, name)
    return next(it for it in manifests() if (it["kind"], it["metadata"]["name"]) == wanted)


def pod(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = manifest("Deployment", name)["spec"]["template"]["spec"]
    return spec


def container(name: str) -> dict[str, Any]:
    [only] = pod(name)["containers"]
    return dict(only)


@pytest.mark.parametrize(
    "content", list(manifests()), ids=lambda it: f"{it['kind']} {it['metadata']['name']}"
)
def test_kubernetes_knows_every_field(content: dict[str, Any]) -> None:
    kubernetes_validate.validate(content, VERSION, strict=True)


def test_the_kustomization_has_every_file() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    [config] = KUSTOMIZATION["configMapGenerator"]
    assert files == {*KUSTOMIZATION["resources"], *config["files"]}
    assert {image["name"] for image in KUSTOMIZATION["images"]} == IMAGES.keys()


def test_the_configuration_is_valid() -> None:
    build_config(yaml.safe_load((FOLDER / "config.yaml").read_text()), {})
    for name in IMAGES:
        check_variables({item["name"]: item["value"] for item in container(name)["env"]})


@pytest.mark.parametrize("name", IMAGES)
def test_a_pod_has_what_its_image_promises(name: str) -> None:
    [port] = container(name)["ports"]
    assert container(name)["image"] == name
    assert str(port["containerPort"]) == IMAGES[name]
    assert pod(name)["securityContext"]["runAsUser"] == 10001
    assert container(name)["securityContext"]["readOnlyRootFilesystem"]
    mounted = {mount["mountPath"] for mount in container(name)["volumeMounts"]}
    assert {"/tmp", "/var/lib/gateway", "/etc/gateway/config.yaml"} <= mounted  # noqa: S108
    labels = manifest("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    for kind in ("Deployment", "PodDisruptionBudget"):
        assert manifest(kind, name)["spec"]["selector"]["matchLabels"] == labels
    assert manifest("NetworkPolicy", name)["spec"]["podSelector"]["matchLabels"] == labels


def test_the_probes_ask_what_exists() -> None:
    probes = ("startupProbe", "readinessProbe", "livenessProbe")
    paths = {route.canonical for route in create_app(Config()).router.resources()}
    assert {container("gateway")[probe]["httpGet"]["path"] for probe in probes} <= paths
    asked = [container("worker")[probe]["httpGet"]["path"] for probe in probes]
    # While a worker ends its calls, `/` answers 503: it must live on.
    assert asked == ["/", "/", "/worker"]


def test_no_pod_is_killed_before_it_has_stopped_by_itself() -> None:
    config = build_config(yaml.safe_load((FOLDER / "config.yaml").read_text()), {})
    stop = container("gateway")["lifecycle"]["preStop"]["sleep"]["seconds"]
    stop += config.server.drain_delay + config.server.finish_timeout
    stop += config.callbacks.flush_timeout
    assert pod("gateway")["terminationGracePeriodSeconds"] > stop
    longest = max(config.inbound.max_call_duration, config.outbound.max_call_duration)
    assert pod("worker")["terminationGracePeriodSeconds"] > longest


def test_workers_are_scaled_before_they_are_full() -> None:
    [metric] = manifest("HorizontalPodAutoscaler", "worker")["spec"]["metrics"]
    env = {item["name"]: item["value"] for item in container("worker")["env"]}
    assert int(metric["pods"]["target"]["averageValue"]) < int(env["AGENT_MAX_CALLS"])
    rules = (FOLDER.parent / "prometheus" / "recording.rules.yaml").read_text()
    assert re.search(rf"\b{metric['pods']['metric']['name']}\b", rules)


def test_the_ingress_leaves_page_and_metrics_out() -> None:
    [rule] = manifest("Ingress", "gateway")["spec"]["rules"]
    paths = {path["path"] for path in rule["http"]["paths"]}
    assert not paths & {"/", "/metrics", "/docs", "/calls", "/static", "/sign-in"}
    assert {"/livekit-api", "/livekit/webhook", "/dispatch"} <= paths
