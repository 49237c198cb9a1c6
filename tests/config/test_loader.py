"""config.yaml and the environment: what is read, what takes precedence, and error messages."""

import io
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values

from gateway.calls.destinations import Credentials, FallbackTarget
from gateway.config.checks import SETTING_HEADERS
from gateway.config.loader import build_config, load_config
from gateway.config.settings import Config, KeyPair
from gateway.config.validation import validate_for_serve
from gateway.errors import ConfigError
from gateway.security.api_keys import ApiKey, Role, digest_of

LISTS = ["A,B", " A , B ,", '["A", "B"]', "['A', 'B']", "- A\n- B", '- "A"\n- "B"']
API = {"GATEWAY_API_KEYS": "a:read:b"}
HOOKS = {"JAMBONZ_WEBHOOK_SECRET": "a"}
HASHED = f"a:read:sha256={digest_of('b').hex()}"
ROOT = Path(__file__).parents[2]
#: After this line of .env.example come the variables that only the worker reads.
WORKERS_PART = "# The agent worker only."
LIVEKIT = {
    "LIVEKIT_URL": "wss://x.livekit.cloud",
    "LIVEKIT_API_KEY": "k",
    "LIVEKIT_API_SECRET": "the-secret",
    "LIVEKIT_SIP_HOST": "y.sip.livekit.cloud",
}


def problems_of(content: dict[str, object], env: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        build_config(content, env or {})
    return "\n".join(caught.value.problems)


def test_config_yaml_has_every_setting_with_its_default() -> None:
    shipped = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert build_config(shipped, {}) == Config()
    for section in fields(Config):
        settings = fields(getattr(Config(), section.name))
        names = {item.name for item in settings if not item.metadata["secret"]}
        assert shipped[section.name].keys() == names


def test_every_setting_in_config_yaml_has_a_comment() -> None:
    lines = (ROOT / "config.yaml").read_text().splitlines()
    without_comment = [line for line in lines if line.startswith("  ") and "#" not in line]
    assert without_comment == []


def test_env_example_has_every_variable_and_no_other_default() -> None:
    text = (ROOT / ".env.example").read_text()
    shipped = dotenv_values(stream=io.StringIO(text))
    workers = dotenv_values(stream=io.StringIO(text.split(WORKERS_PART)[1]))
    own = shipped.keys() - workers.keys()
    variables = {name for name in own if not name.startswith("OTEL_")}  # the SDK reads these
    sections = [getattr(Config(), section.name) for section in fields(Config)]
    assert variables == {
        item.metadata["env"]
        for section in sections
        for item in fields(section)
        if item.metadata["env"]
    }
    env = {name: value for name, value in shipped.items() if value and name in variables}
    assert build_config({}, env) == Config()


def test_the_environment_overrides_the_file() -> None:
    config = build_config(
        {"inbound": {"ringing_timeout": 10}, "server": {"port": 1}},
        {"GATEWAY__INBOUND__RINGING_TIMEOUT": "20", "PORT": "9000"},
    )
    assert config.inbound.ringing_timeout == 20
    assert config.server.port == 9000


def test_the_environment_overrides_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env.local").write_text("LIVEKIT_URL=ws://file\nLIVEKIT_API_KEY=file\n")
    monkeypatch.setenv("LIVEKIT_URL", "ws://environment")
    monkeypatch.setenv("LIVEKIT_API_KEY", "")
    config = load_config()
    assert config.livekit.url == "ws://environment"
    assert config.livekit.api_key == "file"


def test_the_environment_can_hold_lists() -> None:
    config = build_config(
        {},
        {
            "JAMBONZ_WEBHOOK_SECRET": "new, old",
            "GATEWAY_API_KEYS": "n8n:dispatch:a:b,ops:read:c",
            "GATEWAY__INBOUND__FALLBACK": '[{phone: "+15550100", trunk: t}, {say: Sorry}]',
        },
    )
    assert config.security.webhook_secrets == ("new", "old")
    assert config.security.api_keys == (
        ApiKey("n8n", Role.DISPATCH, digest_of("a:b")),
        ApiKey("ops", Role.READ, digest_of("c")),
    )
    assert config.inbound.fallback == (
        FallbackTarget(phone="+15550100", trunk="t"),
        FallbackTarget(say="Sorry"),
    )


@pytest.mark.field("J6")
def test_a_fallback_may_be_a_recording() -> None:
    config = build_config({"inbound": {"fallback": [{"play": "https://example.com/a.wav"}]}}, {})
    assert config.inbound.fallback == (FallbackTarget(play="https://example.com/a.wav"),)
    assert str(config.inbound.fallback[0]) == "play", "a URL may be signed: logs do not show it"


@pytest.mark.field("J6")
@pytest.mark.parametrize(
    "url", ["closed.wav", "ftp://example.com/a.wav", "https://", "https://a b"]
)
def test_a_recording_needs_a_web_address(url: str) -> None:
    problem = problems_of({"inbound": {"fallback": [{"play": url}]}})
    assert "{play: 'https://…'}" in problem


def test_each_mistake_has_a_line_that_names_the_setting() -> None:
    problems = problems_of(
        {
            "inbound": {"ringing_timeout": 0, "ringtimeout": 5, "fallback": [{"fax": "1"}]},
            "outbond": {},
        },
        {"PORT": "http", "GATEWAY__INBOUND__RNG": "1", "GATEWAY_API_KEYS": "n8n:root:hush"},
    )
    for start in (
        "outbond: there is no such section",
        "GATEWAY__INBOUND__RNG: there is no such setting",
        "server.port (PORT): Not a valid integer.",
        "security.api_keys (GATEWAY_API_KEYS): Must be name:role:secret",
        "inbound.ringing_timeout: Must be greater than or equal to 1",
        "inbound.ringtimeout: Unknown field.",
        "inbound.fallback: Each entry must be one of",
    ):
        assert start in problems
    assert "hush" not in problems


def test_secrets_are_rejected_in_the_file_and_left_out_of_reprs() -> None:
    assert "set it as LIVEKIT_API_SECRET" in problems_of({"livekit": {"api_secret": "x"}})
    env = {"GATEWAY_API_KEYS": "n8n:read:hush", "JAMBONZ_WEBHOOK_SECRET": "hush2"}
    shown = repr(build_config({}, LIVEKIT | env))
    assert "the-secret" not in shown
    assert "hush" not in shown


def test_each_secret_can_have_several_values_while_it_is_rotated() -> None:
    config = build_config(
        {},
        {
            "JAMBONZ_WEBHOOK_AUTH": "jambonz:new, jambonz:o:ld",
            "LIVEKIT_API_KEY": "APInew",
            "LIVEKIT_API_SECRET": "now",
            "LIVEKIT_PREVIOUS_KEYS": "APIold:before",
            "CALLBACK_SECRET": "whsec_a,whsec_b",
        },
    )
    auth = config.security.webhook_auth
    assert auth == (Credentials("jambonz", "new"), Credentials("jambonz", "o:ld"))
    assert config.livekit.accepted_keys == (KeyPair("APInew", "now"), KeyPair("APIold", "before"))
    assert config.callbacks.secrets == ("whsec_a", "whsec_b")
    for hidden in ("o:ld", "before", "whsec"):
        assert hidden not in repr(config)


@pytest.mark.parametrize("name", ["JAMBONZ_WEBHOOK_AUTH", "LIVEKIT_PREVIOUS_KEYS"])
@pytest.mark.parametrize("value", ["hush", "hush:", ":hush", "a:b,hush"])
def test_the_error_about_an_incomplete_pair_does_not_repeat_it(name: str, value: str) -> None:
    problems = problems_of({}, {name: value})
    assert "Each must be " in problems
    assert "hush" not in problems


def test_api_keys_in_the_file_must_be_hashes() -> None:
    entry = f"n8n:dispatch:sha256={digest_of('hush').hex()}"
    config = build_config({"security": {"hashed_keys": [entry]}}, {"GATEWAY_API_KEYS": "a:read:b"})
    assert [key.name for key in config.security.keys] == ["a", "n8n"]
    problems = problems_of({"security": {"hashed_keys": ["n8n:dispatch:hush"]}})
    assert "GATEWAY_API_KEYS" in problems
    assert "hush" not in problems


def test_address_lists_take_addresses_and_networks() -> None:
    entries = ["192.0.2.1", "198.51.100.0/24", "2001:db8::/32"]
    config = build_config({"security": {"jambonz_addresses": entries}}, {})
    assert [str(network) for network in config.security.jambonz_addresses] == [
        "192.0.2.1/32",
        *entries[1:],
    ]
    problems = problems_of(
        {"security": {"api_addresses": ["192.0.2.1/24"], "trusted_proxies": ["nginx"]}}
    )
    assert "security.api_addresses: Must be addresses or networks" in problems
    assert "security.trusted_proxies: Must be" in problems


@pytest.mark.field("H3")
def test_what_is_there_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "inbound:\n  agent_timeout: 5\ncallbacks:\n  timeout: 5\n  timeout: 6\ninbound:\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(str(path))
    assert caught.value.problems == (
        f"{path}: inbound is there twice, in lines 1 and 6",
        f"{path}: callbacks.timeout is there twice, in lines 4 and 5",
    )


@pytest.mark.field("H1")
@pytest.mark.parametrize("text", LISTS)
def test_a_list_in_the_environment_is_commas_json_or_yaml(text: str) -> None:
    names = [
        f"{section.name}__{item.name}"
        for section in fields(Config)
        for item in fields(getattr(Config(), section.name))
        if item.default == ()
    ]
    assert len(names) >= 12
    for name in names:
        section, _, key = name.partition("__")
        own = {item.name: item.metadata["env"] for item in fields(getattr(Config(), section))}[key]
        one, other = _entries_of(key)
        env = {own or f"GATEWAY__{name}".upper(): text.replace("A", one).replace("B", other)}
        if key == "fallback":  # its entries are mappings, which commas cannot separate
            continue
        assert len(getattr(getattr(build_config({}, env), section), key)) == 2, name


def _entries_of(key: str) -> tuple[str, str]:
    """Two entries that the list `key` takes."""
    match key:
        case "api_keys":
            return "n8n:dispatch:one", "ops:read:two"
        case "hashed_keys":
            return HASHED, HASHED
        case "webhook_auth" | "previous_keys":
            return "one:two", "three:four"
        case "trusted_headers":
            return SETTING_HEADERS
        case _:
            return "192.0.2.1", "198.51.100.1"


@pytest.mark.field("H1")
@pytest.mark.parametrize(
    "text",
    [
        "[{say: Sorry}, {phone: +15550100}]",
        '[{"say": "Sorry"}, {"phone": "+15550100"}]',
        "- say: Sorry\n- phone: +15550100",
    ],
)
def test_a_list_of_mappings_in_the_environment_is_json_or_yaml(text: str) -> None:
    config = build_config({}, {"GATEWAY__INBOUND__FALLBACK": text})
    assert config.inbound.fallback == (
        FallbackTarget(say="Sorry"),
        FallbackTarget(phone="+15550100"),
    )


@pytest.mark.field("H1")
@pytest.mark.parametrize("text", ["[hush", "{hush: 1}", "- hush: [", "[[hush]]"])
def test_the_error_about_a_list_shows_the_form_and_not_the_list(text: str) -> None:
    problems = problems_of({}, {"JAMBONZ_WEBHOOK_SECRET": text})
    assert "security.webhook_secrets (JAMBONZ_WEBHOOK_SECRET): " in problems
    assert "hush" not in problems


@pytest.mark.field("H1")
def test_a_number_in_a_list_of_the_file_is_quoted() -> None:
    problems = problems_of({"trunks": {"outbound_numbers": [61491570156]}})
    assert problems == "trunks.outbound_numbers: Each entry must be text; quote numbers."


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "not valid YAML"), ("- a", "must be sections"), ("server: 5", "must be sections")],
)
def test_a_malformed_file_is_rejected(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_config(str(path))


def test_a_named_file_must_exist() -> None:
    with pytest.raises(ConfigError, match="no such configuration file"):
        load_config("/nowhere/config.yaml")


def test_serve_needs_livekit_settings() -> None:
    assert validate_for_serve(build_config({}, LIVEKIT)) == []
    assert len(validate_for_serve(Config())) == 3
    no_sip_host = {k: v for k, v in LIVEKIT.items() if k != "LIVEKIT_SIP_HOST"}
    (problem,) = validate_for_serve(build_config({}, no_sip_host))
    assert "LIVEKIT_SIP_HOST" in problem


@pytest.mark.parametrize(
    ("env", "allow", "host"),
    [
        ({}, False, "127.0.0.1"),
        ({"JAMBONZ_WEBHOOK_SECRET": "a"}, False, "127.0.0.1"),
        ({"GATEWAY_API_KEYS": "a:read:b"}, False, "127.0.0.1"),
        ({"JAMBONZ_WEBHOOK_SECRET": "a", "GATEWAY_API_KEYS": "a:read:b"}, False, "0.0.0.0"),
        ({}, True, "0.0.0.0"),
        ({"JAMBONZ_WEBHOOK_AUTH": "a:b", "GATEWAY_API_KEYS": "a:read:b"}, False, "0.0.0.0"),
        ({"GATEWAY__SECURITY__JAMBONZ_ADDRESSES": "192.0.2.1", **API}, False, "127.0.0.1"),
        ({"GATEWAY__SECURITY__API_ADDRESSES": "192.0.2.1", **HOOKS}, False, "127.0.0.1"),
        ({"GATEWAY__SECURITY__HASHED_KEYS": HASHED, **HOOKS}, False, "0.0.0.0"),
    ],
)
def test_without_full_authentication_only_loopback_is_served(
    env: dict[str, str], allow: bool, host: str
) -> None:
    config = build_config({"security": {"allow_unauthenticated": allow}}, env)
    assert config.listen_host == host


@pytest.mark.field("J1")
def test_an_unknown_ringing_tone_is_refused_with_the_possible_ones() -> None:
    message = problems_of({"inbound": {"ringing_tone": "mars"}})
    assert message.startswith("inbound.ringing_tone: It must be a country (at, au, ")


def test_encrypted_media_needs_encrypted_signalling() -> None:
    sdes = {"sip_media_encryption": "sdes"}
    config = build_config({"livekit": sdes}, LIVEKIT)
    assert validate_for_serve(config) == [
        "livekit.sip_media_encryption sdes needs livekit.sip_transport tls, not tcp: its keys are "
        "in the INVITE"
    ]
    assert not validate_for_serve(
        build_config({"livekit": {**sdes, "sip_transport": "tls"}}, LIVEKIT)
    )
    assert "Must be one of: none, sdes." in problems_of(
        {"livekit": {"sip_media_encryption": "dtls"}}
    )
