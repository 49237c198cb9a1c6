"""Commands beside a gateway that runs: what they read, and what they say."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config.loader import CLIENT_ENV_FILES, DEV_ENV, environment
from tests.ports import free_port


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LIVEKIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def dev_env() -> Iterator[str]:
    """What a `dev` that runs here has written: the URL of its LiveKit, where nothing listens."""
    url = f"ws://127.0.0.1:{free_port()}"
    Path(".run").mkdir()
    with open(DEV_ENV, "w") as file:
        file.write(f"LIVEKIT_URL={url}\nLIVEKIT_API_KEY=k\nLIVEKIT_API_SECRET=s\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        yield url


@pytest.mark.field("H7")
def test_setup_reaches_what_dev_runs(dev_env: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("config.yaml").write_text("trunks: {inbound_addresses: [192.0.2.10]}\n")
    assert main(["setup"]) == 1
    error = capsys.readouterr().err
    assert "is not set" not in error
    assert "check LIVEKIT_URL" in error


@pytest.mark.field("H4")
def test_the_file_of_a_dev_that_was_killed_is_not_read(dev_env: str) -> None:
    Path(".env.local").write_text("LIVEKIT_URL=wss://project.livekit.cloud\n")
    assert environment(CLIENT_ENV_FILES)["LIVEKIT_URL"] == dev_env
    Path(DEV_ENV).replace("copy")
    Path(DEV_ENV).write_text(Path("copy").read_text())
    assert environment(CLIENT_ENV_FILES)["LIVEKIT_URL"] == "wss://project.livekit.cloud"


@pytest.mark.field("H7")
def test_an_unknown_role_is_answered_with_the_roles(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["key", "n8n", "owner"])
    error = capsys.readouterr().err
    assert "(choose from 'view', 'read', 'dispatch', 'admin')" in error
    assert "Role" not in error.replace("ROLE", "")


SETTINGS = {
    "LIVEKIT_URL": "wss://project.livekit.cloud",
    "LIVEKIT_SIP_HOST": "project.sip.livekit.cloud",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "secret",
    "JAMBONZ_WEBHOOK_SECRET": "wh_secret",
    "GATEWAY_API_KEYS": "n8n:dispatch:terces",
    "GATEWAY_PUBLIC_URL": "https://gateway.example.com",
    "REDIS_URL": "rediss://:terces@redis.example.com:6379",
}


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        ({}, 0, "valid"),
        ({"GATEWAY_API_KEYS": ""}, 1, "the gateway listens on loopback only"),
        ({"LIVEKIT_SIP_HOST": ""}, 2, "LIVEKIT_SIP_HOST is not set"),
        ({"REDIS_URL": "redis://:ter/ces@redis"}, 2, "REDIS_URL (storage.url) must be redis://"),
    ],
)
def test_a_configuration_is_checked_offline(
    changed: dict[str, str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing of this answers, and a release must not wait for it."""
    for name, value in {**SETTINGS, **changed}.items():
        monkeypatch.setenv(name, value)
    assert main(["doctor", "--offline", "--json"]) == code
    output = capsys.readouterr().out
    [check] = json.loads(output)["checks"]
    assert message in check["message"]
    assert "terces" not in output
