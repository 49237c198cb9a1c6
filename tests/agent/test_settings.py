"""The worker's settings: what is read, and what is said about mistakes."""

import os
from itertools import chain
from pathlib import Path

import pytest
from dotenv import dotenv_values

from agent.config_file import VARIABLES as SHARED
from agent.settings import VARIABLES, read_settings
from gateway.config.loader import load_config

LIVEKIT = {
    "LIVEKIT_URL": "wss://livekit.example.com",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "secret",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES, *chain(*SHARED.values()), "GATEWAY_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in LIVEKIT.items():
        monkeypatch.setenv(name, value)


def test_the_example_has_every_variable() -> None:
    shipped = dotenv_values(Path(__file__).parents[2] / ".env.example")
    assert VARIABLES.keys() <= shipped.keys()
    assert {name for name in shipped if name.startswith("AGENT_")} <= VARIABLES.keys()


@pytest.mark.field("H2")
@pytest.mark.parametrize(
    ("text", "url"),
    [
        (" wss://livekit.example.com/ ", "wss://livekit.example.com"),
        ("ws://[2001:db8::1]:7880", "ws://[2001:db8::1]:7880"),
        ("https://example.com/livekit", "https://example.com/livekit"),
    ],
)
def test_livekits_url_is_taken_as_the_gateway_takes_it(
    text: str, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", text)
    assert read_settings().url == url


@pytest.mark.field("H2")
@pytest.mark.parametrize(
    "text",
    [
        "livekit.example.com",
        "wss://",
        "wss://:7880",
        "wss://livekit.example.com:99999",
        "wss://livekit.example.com/rtc",
        "wss://user:hush@livekit.example.com",
        "wss://livekit.example.com?token=hush",
        "wss://[::1",
    ],
)
def test_another_url_is_an_error_that_shows_the_form(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", text)
    with pytest.raises(ValueError, match="LIVEKIT_URL must be of the form wss://") as caught:
        read_settings()
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AGENT_HTTP_PORT", "http"),
        ("AGENT_HTTP_PORT", "99999"),
        ("AGENT_IDLE_PROCESSES", "0"),
        ("AGENT_MAX_CALLS", "-1"),
        ("AGENT_MAX_CALLS", "2.5"),
        ("AGENT_IDLE_PROCESSES", "1.5"),
        ("AGENT_MAX_IDLE_PROCESSES", "many"),
        ("AGENT_LOAD_THRESHOLD", "70%"),
        ("AGENT_LOAD_THRESHOLD", "nan"),
    ],
)
def test_a_number_that_cannot_be_used_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} must be a .*number from "):
        read_settings()


@pytest.mark.parametrize(
    ("file", "env", "expected"),
    [
        ("", {}, ("nehos-outbound-agent", "diagnostic")),
        ("agent: {name: clinic, pipeline: voice}", {}, ("clinic", "voice")),
        ("agent: {pipeline: voice}\nserver: {port: 1}", {}, ("nehos-outbound-agent", "voice")),
        (
            "agent: {name: clinic, pipeline: voice}",
            {"LIVEKIT_AGENT_NAME": "other", "GATEWAY__AGENT__PIPELINE": "diagnostic"},
            ("other", "diagnostic"),
        ),
        ("agent: {name: clinic}", {"GATEWAY__AGENT__NAME": "other"}, ("other", "diagnostic")),
    ],
)
def test_name_and_pipeline_are_the_gateways(
    file: str, env: dict[str, str], expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GATEWAY_CONFIG", "gateway.yaml")
    for path in (Path("gateway.yaml"), Path("config.yaml")):
        path.write_text(file)
        settings, gateway = read_settings(), load_config(str(path)).agent
        assert (settings.agent_name, settings.pipeline) == expected
        assert (gateway.name, gateway.pipeline) == expected
        monkeypatch.delenv("GATEWAY_CONFIG", raising=False)


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("agent: {pipeline: vioce}", "agent.pipeline must be one of: diagnostic, voice"),
        ("agent: {name: 7}", "config.yaml: agent.name must be a text"),
        ("agent: [", "config.yaml: cannot be read: "),
    ],
)
def test_a_mistake_in_config_yaml_is_named(file: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(file)
    with pytest.raises(ValueError, match=problem):
        read_settings()


def test_a_configuration_file_that_is_named_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CONFIG", "nowhere")
    with pytest.raises(ValueError, match="GATEWAY_CONFIG: nowhere: there is no such"):
        read_settings()


def test_the_conversations_are_in_agents_yaml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert read_settings().agents_file is None
    (tmp_path / "agents.yaml").touch()
    assert read_settings().agents_file == Path("agents.yaml")
    monkeypatch.setenv("AGENTS_FILE", "/etc/gateway/agents.yaml")
    assert read_settings().agents_file == Path("/etc/gateway/agents.yaml")


@pytest.mark.parametrize(("cpus", "processes"), [(1, (4, 4)), (2, (8, 8)), (16, (8, 64))])
def test_eight_calls_at_once_find_a_process_each(
    monkeypatch: pytest.MonkeyPatch, cpus: int, processes: tuple[int, int]
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    settings = read_settings()
    assert (settings.idle_processes, settings.max_idle_processes) == processes


def test_there_are_never_fewer_at_most_than_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_IDLE_PROCESSES", "9")
    monkeypatch.setenv("AGENT_MAX_IDLE_PROCESSES", "3")
    assert read_settings().max_idle_processes == 9


def test_the_secrets_of_callbacks_are_read_as_the_gateway_reads_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = ("whsec_" + "c2Vj" * 8, "whsec_" + "cmV0" * 8)
    monkeypatch.setenv("CALLBACK_SECRET", ", ".join(secrets))
    assert read_settings().callback_secrets == secrets
    assert load_config(None).callbacks.secrets == secrets
    monkeypatch.setenv("CALLBACK_SECRET", "whsec_short")
    with pytest.raises(ValueError, match="CALLBACK_SECRET: each must be whsec_"):
        read_settings()
