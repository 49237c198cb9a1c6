"""deploy/compose.yaml, as far as it can be checked without Docker."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from gateway.config.settings import Config
from tests.deploy.variables import check_variables

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy" / "compose.yaml"
NGINX = ROOT / "deploy" / "nginx" / "gateway.conf"
#: What the one who deploys makes, by the steps in docs/deployment.md.
MADE = {"./certificates", "gateway.env"}
SECONDS = {"s": 1, "m": 60}
VARIABLE = re.compile(r"\$\{(\w+):\?\}")


def services() -> dict[str, Any]:
    """With the variables as docker compose puts them in."""
    text = VARIABLE.sub(lambda name: f"value-of-{name[1].lower()}", COMPOSE.read_text())
    content: dict[str, Any] = yaml.safe_load(text)["services"]
    return content


SERVICES = services()


def address(name: str) -> str:
    return str(SERVICES[name]["networks"]["default"]["ipv4_address"])


def seconds(text: str) -> int:
    return int(text[:-1]) * SECONDS[text[-1]]


@pytest.mark.server
def test_it_is_a_compose_file() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    process = subprocess.run(
        [*command, COMPOSE], check=False, capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 0, process.stdout


@pytest.mark.parametrize("name", ["gateway-1", "gateway-2", "worker"])
def test_the_variables_of_our_services_are_settings(name: str) -> None:
    service = SERVICES[name]
    config = check_variables(service["environment"])
    assert service["env_file"] == "gateway.env"
    livekit = yaml.safe_load(SERVICES["livekit"]["environment"]["LIVEKIT_CONFIG"])
    url = urlsplit(config.livekit.url)
    assert url.port == livekit["port"]
    assert url.hostname in livekit["bind_addresses"]


def test_gateways_and_nginx_know_one_another() -> None:
    names = ["gateway-1", "gateway-2"]
    upstream = re.findall(r"^    server (\S+):(\d+) ", NGINX.read_text(), re.MULTILINE)
    ports = [SERVICES[name]["environment"]["PORT"] for name in names]
    assert upstream == list(zip(map(address, names), ports, strict=True))
    for name in names:
        proxies = check_variables(SERVICES[name]["environment"]).security.trusted_proxies
        assert [str(proxy) for proxy in proxies] == [f"{address('nginx')}/32"]


def test_what_is_mounted_exists() -> None:
    for service in SERVICES.values():
        for source, *_ in (volume.split(":") for volume in service.get("volumes", [])):
            if source.startswith(".") and source not in MADE:
                assert (COMPOSE.parent / source).exists()
    log_files = set(re.findall(r"/var/log/nginx/[\w.-]+", NGINX.read_text()))
    assert log_files == set(re.findall(r"/var/log/nginx/[\w.-]+", SERVICES["nginx"]["command"][-1]))


def test_images_are_pinned() -> None:
    foreign = [service["image"] for service in SERVICES.values() if "build" not in service]
    assert len(foreign) == 7
    assert all(re.search(r":v?\d+(\.\d+){1,2}(-alpine)?$", image) for image in foreign)


def test_services_wait_until_what_they_need_is_healthy() -> None:
    for service in SERVICES.values():
        # The Dockerfile has the health check of our own.
        assert "build" in service or "healthcheck" in service
        for needed, condition in service.get("depends_on", {}).items():
            assert needed in SERVICES
            assert condition == {"condition": "service_healthy"}
    assert SERVICES["nginx"]["depends_on"].keys() == {"gateway-1", "gateway-2"}


def test_nothing_is_killed_before_it_has_stopped_by_itself() -> None:
    config = check_variables(SERVICES["gateway-1"]["environment"])
    stop = config.server.drain_delay + config.server.finish_timeout
    stop += config.callbacks.flush_timeout
    assert config.server.drain_delay > 4, "nginx would not use the other gateway again yet"
    assert seconds(SERVICES["gateway-1"]["stop_grace_period"]) > stop
    longest = max(Config().inbound.max_call_duration, Config().outbound.max_call_duration)
    for name in ("worker", "livekit-sip"):
        assert seconds(SERVICES[name]["stop_grace_period"]) > longest


def test_every_secret_comes_from_the_environment_file() -> None:
    variables = set(VARIABLE.findall(COMPOSE.read_text()))
    documented = (ROOT / ".env.example").read_text() + (ROOT / "docs/deployment.md").read_text()
    assert [name for name in variables if not re.search(rf"\b{name}\b", documented)] == []
