"""What Heroku reads: Procfile, .python-version, requirements.txt, .profile, app.json."""

import configparser
import importlib.util
import json
import re
import subprocess
from pathlib import Path

import pytest

from gateway.cli import main
from tests.deploy.variables import check_variables

ROOT = Path(__file__).parents[2]
PROCFILE = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines() if line
)
#: How long a dyno may take to stop, in s (devcenter.heroku.com/articles/dyno-shutdown-behavior).
STOP_LIMIT = 30


def test_its_processes_are_the_gateway_and_the_worker() -> None:
    assert PROCFILE.keys() == {"release", "web", "worker"}
    for command in PROCFILE.values():
        match = re.fullmatch(r"python -m (\w+)( .*)?", command)
        assert match
        assert importlib.util.find_spec(f"{match[1]}.__main__")


def test_a_release_that_would_not_start_is_not_rolled_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIVEKIT_URL", raising=False)
    arguments = PROCFILE["release"].removeprefix("python -m gateway ").split()
    assert main(arguments) != 0


def test_the_buildpack_gets_the_python_and_the_packages_of_the_dockerfile() -> None:
    version = (ROOT / ".python-version").read_text().strip()
    assert f"FROM python:{version}-slim" in (ROOT / "Dockerfile").read_text()
    lines = [
        line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1] != "#"
    ]
    package = configparser.ConfigParser()
    package.read(ROOT / "setup.cfg")
    constraints, project = lines
    assert (ROOT / constraints.removeprefix("-c ")).exists()
    extras = project.removeprefix(".[").removesuffix("]").split(",")
    assert set(extras) <= set(package["options.extras_require"])


def test_its_settings_exist_and_let_it_stop_in_time() -> None:
    app = json.loads((ROOT / "app.json").read_text())
    assert app["formation"].keys() == PROCFILE.keys() - {"release"}
    env = {name: item.get("value", "") for name, item in app["env"].items()}
    config = check_variables(env)
    assert config.server.finish_timeout + config.callbacks.flush_timeout < STOP_LIMIT
    assert config.logging.format == "console"


@pytest.mark.server
@pytest.mark.parametrize(
    ("given", "redis", "history"),
    [
        ({}, "", ""),
        (
            {"REDIS_URL": "rediss://:p@redis.example.com:6380", "DATABASE_URL": "postgres://u@h/d"},
            "rediss://:p@redis.example.com:6380?ssl_cert_reqs=none",
            "postgres://u@h/d",
        ),
        (
            {"REDIS_URL": "redis://h", "DATABASE_URL": "postgres://u@h/d", "HISTORY_URL": "none"},
            "redis://h",
            "none",
        ),
    ],
)
def test_the_add_ons_variables_become_ours(given: dict[str, str], redis: str, history: str) -> None:
    script = f'. {ROOT}/.profile; echo "${{REDIS_URL:-}} ${{HISTORY_URL:-}}"'
    process = subprocess.run(
        ["bash", "-euc", script], env=given, check=True, capture_output=True, text=True, timeout=30
    )
    assert process.stdout == f"{redis} {history}\n"
    variables = {"REDIS_URL": redis} if redis else {}
    assert check_variables(variables).storage.url == redis
