"""deploy/prometheus and the dashboard: checked by promtool, and held against what is exposed."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from livekit.agents.telemetry import otel_metrics

from agent.measurements import BUCKETS, Measurement
from tests.agent.test_worker import worker
from tests.api.test_metrics import numbers, whole_call
from tests.conftest import Client, skip_unless_ci
from tests.prometheus import Numbers

__all__ = ["worker"]

DEPLOY = Path(__file__).parents[2] / "deploy"
DOCS = DEPLOY.parent / "docs"
FOLDER = DEPLOY / "prometheus"
DASHBOARD = DEPLOY / "grafana" / "dashboards" / "gateway.json"
#: What names of ours, of the framework and of our recording rules begin with.
NAME = re.compile(r"\b(?:gateway_|worker_|lk_agents_|process_|job:)[\w:]+")
#: What Prometheus makes of a histogram.
SUFFIX = re.compile(r"_(?:bucket|count|sum)$")


def groups(name: str) -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = yaml.safe_load((FOLDER / f"{name}.rules.yaml").read_text())[
        "groups"
    ]
    return rules


RECORDED = [rule for group in groups("recording") for rule in group["rules"]]
ALERTS = [rule for group in groups("alerts") for rule in group["rules"]]


def dashboard_expressions() -> Iterator[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def names_in(expression: str) -> set[str]:
    without_values = re.sub(r'"[^"]*"', "", expression)
    without_labels = re.sub(r"\{[^}]*\}|\b(?:by|on) \([^)]*\)", "", without_values)
    return set(NAME.findall(without_labels))


@pytest.fixture
def promtool(server_process: None) -> str:
    found = shutil.which("promtool")
    if found is None:
        skip_unless_ci("the rules are checked by promtool, which is not installed")
    return found


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_takes_its_configuration(promtool: str) -> None:
    run(promtool, "check", "config", "prometheus.yaml")


def test_alerts_fire_when_they_should_and_only_then(promtool: str) -> None:
    run(promtool, "test", "rules", "tests.yaml")


def test_the_dashboard_asks_what_prometheus_understands(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:{number}", "expr": expression}
        for number, expression in enumerate(dashboard_expressions())
    ]
    file = tmp_path / "dashboard.rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    run(promtool, "check", "rules", file)


def test_each_alert_is_tested_and_leads_to_a_runbook() -> None:
    tests = yaml.safe_load((FOLDER / "tests.yaml").read_text())["tests"]
    fired = {
        case["alertname"]
        for test in tests
        for case in test.get("alert_rule_test", ())
        if case.get("exp_alerts")
    }
    assert fired == {alert["alert"] for alert in ALERTS}
    for alert in ALERTS:
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["summary"]
        file, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert anchor in anchors(DEPLOY.parent / file), alert["annotations"]["runbook"]
        assert f"`{alert['alert']}`" in (DOCS / "operations.md").read_text()


def anchors(document: Path) -> set[str]:
    """Of a document's headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


async def test_every_name_in_rules_and_dashboard_is_exposed(gateway: Client, worker: Any) -> None:
    await whole_call(gateway)
    exposed = families(await numbers(gateway)) | families(numbers_of(worker))
    recorded = {rule["record"] for rule in RECORDED}
    expressions = [rule["expr"] for rule in (*RECORDED, *ALERTS)]
    named = {
        name
        for expression in (*expressions, *dashboard_expressions())
        for name in names_in(expression)
    }
    assert len(named) > 40
    unknown = {name for name in named - recorded if SUFFIX.sub("", name) not in exposed}
    assert unknown == set()
    assert recorded <= named, "a recording that nothing looks at"


def families(found: Numbers) -> set[str]:
    """The names that samples have, or will have."""
    names = set()
    for family in found.families:
        names.add(f"{family.name}_total" if family.type == "counter" else family.name)
    return names


def numbers_of(worker: Any) -> Numbers:
    """As if its jobs had measured everything that livekit-agents measures."""
    metrics = worker._metrics
    for instrument in vars(otel_metrics).values():
        if isinstance(name := getattr(instrument, "_name", None), str):
            flat = name.replace(".", "_")
            counts = [1] * (len(BUCKETS) + 1)
            metrics.measured.add([Measurement(f"{flat}_seconds", "", {}, 1.0, counts)])
    return Numbers(metrics.page().decode())
