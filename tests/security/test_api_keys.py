"""API keys: stored as hashes, matched with the secret of a request, made by a command."""

import hashlib

import pytest

from gateway.cli import main
from gateway.config.loader import build_config, own_keys
from gateway.errors import ConfigError
from gateway.security.api_keys import (
    ApiKey,
    MalformedApiKey,
    OwnKeys,
    Role,
    digest_of,
    matching,
    read_hashed_key,
    read_key,
)

HUSH = hashlib.sha256(b"hush").hexdigest()


@pytest.mark.parametrize("secret", ["hush", f"sha256={HUSH}", f"sha256={HUSH.upper()}"])
def test_a_key_is_stored_as_its_hash(secret: str) -> None:
    key = read_key(f"n8n:dispatch:{secret}")
    assert key == ApiKey("n8n", Role.DISPATCH, bytes.fromhex(HUSH))
    assert "hush" not in repr(key)
    assert matching("hush", [key]) == [key]
    assert matching(f"sha256={HUSH}", [key]) == []


@pytest.mark.parametrize(
    "entry",
    ["", "n8n", "n8n:dispatch", "n8n:dispatch:", ":dispatch:hush", "n8n:root:hush"]
    + [f"n8n:read:sha256={digits}" for digits in ("", "hush", HUSH[:-1], HUSH + "0")],
)
def test_the_error_about_a_malformed_entry_does_not_repeat_it(entry: str) -> None:
    with pytest.raises(MalformedApiKey) as caught:
        read_key(entry)
    assert "hush" not in str(caught.value)


def test_a_plain_secret_is_rejected_where_a_hash_is_required() -> None:
    with pytest.raises(MalformedApiKey, match="GATEWAY_API_KEYS") as caught:
        read_hashed_key("n8n:dispatch:hush")
    assert "hush" not in str(caught.value)


def test_two_keys_may_share_a_name_while_one_is_rotated() -> None:
    old, new = read_key("n8n:dispatch:old"), read_key("n8n:dispatch:new")
    assert matching("old", [old, new]) == [old]
    assert matching("new", [old, new]) == [new]
    assert matching("other", [old, new]) == []


def test_a_secret_that_is_not_utf_8_matches_no_key() -> None:
    assert matching(b"\xff".decode("utf-8", "surrogateescape"), [read_key("a:read:b")]) == []


@pytest.mark.parametrize("role", Role)
def test_the_key_command_prints_a_key_that_works(
    role: Role, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", "n8n", role]) == 0
    _, secret, _, entry = (line.strip() for line in capsys.readouterr().out.splitlines())
    assert len(secret) >= 43  # 32 bytes, urlsafe
    assert secret not in entry
    key = read_hashed_key(entry)
    assert (key.name, key.role, key.digest) == ("n8n", role, digest_of(secret))
    main(["key", "n8n", role])
    assert secret not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "a:b", "a,b", "a b", "a" * 65])
def test_the_key_command_rejects_names_that_need_escaping(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["key", name, "read"]) == 1
    assert "the name must be" in capsys.readouterr().err


def test_commands_send_a_plain_key_with_the_role() -> None:
    env = {"GATEWAY_API_KEYS": f"a:read:sha256={HUSH}, b:read:one, c:dispatch:two"}
    keys = own_keys(build_config({}, env), env)
    assert keys.header(Role.READ) == {"X-API-Key": "one"}
    assert keys.header(Role.DISPATCH) == {"X-API-Key": "two"}
    assert "two" not in repr(keys)


def test_with_hashes_alone_commands_say_what_to_set() -> None:
    config = build_config({"security": {"hashed_keys": [f"ops:read:sha256={HUSH}"]}}, {})
    with pytest.raises(ConfigError, match="GATEWAY_API_KEYS=name:read:secret"):
        own_keys(config, {}).header(Role.READ)
    assert own_keys(config, {"GATEWAY_API_KEYS": "ops:read:hush"}).header(Role.READ)


def test_each_role_includes_those_before_it() -> None:
    included = {role: [other.value for other in Role if role.includes(other)] for role in Role}
    assert included == {
        Role.VIEW: ["view"],
        Role.READ: ["view", "read"],
        Role.DISPATCH: ["view", "read", "dispatch"],
        Role.ADMIN: ["view", "read", "dispatch", "admin"],
    }


def test_without_configured_keys_commands_send_none() -> None:
    assert OwnKeys.from_entries([], []).header(Role.DISPATCH) == {}
