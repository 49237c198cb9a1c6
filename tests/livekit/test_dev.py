"""`dev` and `simulate`, the commands of `make run` and `make demo`: output, end, errors."""

import json
import os
import shlex
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from agent.settings import VARIABLES
from gateway.security.api_keys import digest_of
from gateway.tools.dev.processes import python
from tests.ports import default_ports, free_port

LIMIT = 60.0

pytestmark = pytest.mark.server


@pytest.fixture
def env() -> dict[str, str]:
    return _environment()


def _environment() -> dict[str, str]:
    """In which only a free port is configured."""
    inherited = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("LIVEKIT_", "GATEWAY_", "JAMBONZ_"))
    }
    return {**inherited, "PORT": str(free_port())}


def gateway(*words: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = python("-m", "gateway", *words)
    return subprocess.run(
        command, env=env, cwd=cwd, capture_output=True, text=True, timeout=LIMIT, check=False
    )


@contextmanager
def running_dev(
    env: dict[str, str], folder: Path
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`gateway dev` in `folder`, once it has printed its summary, and the summary."""
    command = python("-m", "gateway", "dev")
    summary = []
    with ExitStack() as starting:
        starting.enter_context(default_ports())
        with subprocess.Popen(
            command, env=env, cwd=folder, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout
                for line in process.stdout:
                    summary.append(line)
                    if "Ctrl-C stops everything" in line:
                        break
                assert "Ctrl-C" in summary[-1]
                starting.close()
                yield process, summary
            finally:
                # Killed by SIGKILL it could not stop the other processes.
                process.send_signal(signal.SIGINT)
                process.wait(LIMIT)


@pytest.fixture
def dev(
    env: dict[str, str], tmp_path: Path, livekit_binary: Path
) -> Iterator[subprocess.Popen[str]]:
    """`gateway dev` in an empty folder, for a test that ends it."""
    with running_dev(env, tmp_path) as (process, _):
        yield process


@dataclass(frozen=True)
class SharedDev:
    """A `gateway dev`: where it runs, on which port, and what it has printed."""

    folder: Path
    port: str
    summary: list[str]


@pytest.fixture(scope="module")
def shared_dev(
    tmp_path_factory: pytest.TempPathFactory, livekit_binary: Path
) -> Iterator[SharedDev]:
    """For several tests; of its API keys only the hashes are configured."""
    folder = tmp_path_factory.mktemp("dev")
    env = _environment() | {"GATEWAY_API_KEYS": f"ops:read:sha256={digest_of('x').hex()}"}
    with running_dev(env, folder) as (_, summary):
        yield SharedDev(folder, env["PORT"], summary)


@pytest.mark.field("H4")
def test_a_second_dev_in_the_folder_leaves_the_first_alone(
    shared_dev: SharedDev, env: dict[str, str]
) -> None:
    shared = shared_dev.folder / ".run" / "dev.env"
    before = shared.read_text()
    result = gateway("dev", env=env, cwd=shared_dev.folder)
    assert result.returncode == 1
    assert "runs in this folder already" in result.stderr
    assert shared.read_text() == before


@pytest.mark.field("H3")
def test_a_wrong_key(shared_dev: SharedDev, env: dict[str, str], tmp_path: Path) -> None:
    lines = (shared_dev.folder / ".run" / "dev.env").read_text().splitlines()
    shared = {name: shlex.split(value)[0] for name, value in (line.split("=", 1) for line in lines)}
    env |= shared | {"LIVEKIT_API_SECRET": "another-secret-of-more-than-32-bytes"}
    env["PORT"] = str(free_port())
    for command in ("serve", "dev"):
        result = gateway(command, env=env, cwd=tmp_path)
        assert result.returncode == 1
        line = result.stderr.strip().splitlines()[-1]
        assert "does not accept LIVEKIT_API_KEY with LIVEKIT_API_SECRET: set both" in line
        assert "Traceback" not in result.stderr


@pytest.mark.field("H7")
def test_with_api_keys_what_dev_suggests_works(shared_dev: SharedDev, env: dict[str, str]) -> None:
    """Also where only their hashes are configured."""
    elsewhere = {name: value for name, value in env.items() if name != "PORT"}
    folder, summary = shared_dev.folder, shared_dev.summary
    demo = gateway("simulate", "inbound", "--hold", "1", env=elsewhere, cwd=folder)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert any(f"127.0.0.1:{shared_dev.port}/talk" in line for line in summary)
    (command,) = [line.strip() for line in summary if "curl" in line]
    listing = subprocess.run(
        ["sh", "-c", command.removesuffix("list the calls").replace("curl", "curl -fsS")],
        env=elsewhere,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    assert json.loads(listing.stdout)["calls"] == []


@pytest.mark.field("H4")
def test_dev_and_a_simulated_call_leave_nothing_behind(
    dev: subprocess.Popen[str], env: dict[str, str], tmp_path: Path
) -> None:
    processes = psutil.Process(dev.pid).children(recursive=True)
    assert len(processes) >= 3

    # Another terminal does not know the port.
    elsewhere = {name: value for name, value in env.items() if name != "PORT"}
    demo = gateway("simulate", "inbound", "--hold", "1", "--json", env=elsewhere, cwd=tmp_path)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    steps = [json.loads(line) for line in demo.stdout.splitlines()]
    assert {"agent heard", "call shown as ended"} <= {step["step"] for step in steps}
    assert sorted(step["at_s"] for step in steps) == [step["at_s"] for step in steps]
    listed = gateway("calls", "list", "--all", "--json", env=elsewhere, cwd=tmp_path)
    assert [it["call_status"] for it in json.loads(listed.stdout)["calls"]] == ["ended"]
    doctor = gateway("doctor", env=elsewhere, cwd=tmp_path)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "skip  LiveKit SIP        none: the LiveKit of `make run` has no SIP" in doctor.stdout
    with urllib.request.urlopen(f"http://127.0.0.1:{env['PORT']}/talk", timeout=LIMIT) as page:
        assert '<h1 id="talk-title">Call the agent</h1>' in page.read().decode()

    dev.send_signal(signal.SIGINT)
    assert dev.wait(LIMIT) == 0
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_end_of_one_process_stops_the_others(dev: subprocess.Popen[str]) -> None:
    processes = psutil.Process(dev.pid).children(recursive=True)
    livekit = next(process for process in processes if "livekit-server" in process.name())
    livekit.kill()
    assert dev.wait(LIMIT) == 1
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert alive == []


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_port_in_use(
    command: str, env: dict[str, str], tmp_path: Path, fake_livekit_url: str
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        env["PORT"] = str(listener.getsockname()[1])
        env |= {"LIVEKIT_URL": fake_livekit_url, "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s"}
        result = gateway(command, env=env, cwd=tmp_path)
    assert result.returncode == 1
    assert f"port {env['PORT']}" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.fixture
def fake_livekit_url() -> str:
    return f"ws://127.0.0.1:{free_port()}"


def test_the_error_without_livekit_names_what_to_do(env: dict[str, str], tmp_path: Path) -> None:
    env |= {"PATH": "/usr/bin-of-nothing", "HOME": str(tmp_path)}
    result = gateway("dev", env=env, cwd=tmp_path)
    assert result.returncode == 1
    for way in ("LIVEKIT_URL", "on PATH", "Go 1.26"):
        assert way in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--config", "nowhere.yaml", "serve"], "no such configuration file"),
        (["serve"], "LIVEKIT_URL is not set"),
        (["simulate", "inbound"], "start `make run` first"),
    ],
)
def test_missing_configuration_is_an_error_in_one_line(
    words: list[str], message: str, env: dict[str, str], tmp_path: Path
) -> None:
    result = gateway(*words, env=env, cwd=tmp_path)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "inbound", "--wav", "nowhere.wav"], "cannot read nowhere.wav"),
        (["simulate", "inbound"], "call hook answered: Cannot connect"),
    ],
)
def test_a_simulated_call_names_the_failed_step(
    words: list[str], message: str, env: dict[str, str], tmp_path: Path, fake_livekit_url: str
) -> None:
    env |= {"LIVEKIT_URL": fake_livekit_url, "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s"}
    result = gateway(*words, env=env, cwd=tmp_path)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.field("H7")
def test_the_workers_help_needs_no_settings(env: dict[str, str], tmp_path: Path) -> None:
    result = subprocess.run(
        python("-m", "agent", "--help"),
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=True,
    )
    for name in VARIABLES:
        assert name in result.stdout


def test_the_worker_names_missing_variables(env: dict[str, str], tmp_path: Path) -> None:
    result = subprocess.run(
        python("-m", "agent"),
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("agent: not set in the environment or .env.local: LIVEKIT_URL")


def test_the_gateway_process_does_not_load_the_agents_framework(tmp_path: Path) -> None:
    program = "import gateway.app, gateway.server, sys; print('livekit.agents' in sys.modules)"
    result = subprocess.run(
        python("-c", program), cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
    )
    assert result.stdout.strip() == "False"
