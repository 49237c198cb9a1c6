"""config.yaml, .env.local and environment → one frozen Config. The only reader of os.environ."""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, cast, get_type_hints

import yaml
from dotenv import dotenv_values
from marshmallow import Schema, ValidationError
from marshmallow import fields as wire

from gateway.calls.destinations import Credentials, FallbackTarget
from gateway.config.settings import Config, KeyPair
from gateway.errors import ConfigError
from gateway.security.addresses import Network, read_network
from gateway.security.api_keys import ApiKey, HashedKey, NotAKey, OwnKeys, read_hashed_key, read_key

DEFAULT_FILE = "config.yaml"
ENV_FILE = ".env.local"
#: What `dev` leaves for `simulate` in another terminal: how to reach what it started.
DEV_ENV = ".run/dev.env"
PREFIX = "GATEWAY__"
#: A URL with a password in it.
_PASSWORD = re.compile(r"://[^/?#]*:.*@|[?&](sentinel_)?password=")


def load_config(file: str | None = None, *, env_files: tuple[str, ...] = (ENV_FILE,)) -> Config:
    """Read everything once. The environment wins over `env_files`, and both over `file`.

    `file` defaults to $GATEWAY_CONFIG, then to config.yaml where there is one. Raises ConfigError
    with a line for each thing that is wrong.
    """
    return build_config(read_file(file), environment(env_files))


def environment(env_files: tuple[str, ...] = (ENV_FILE,)) -> dict[str, str]:
    """The process environment over what those of `env_files` say that exist."""
    merged: dict[str, str] = {}
    for name in env_files:
        merged |= {key: value for key, value in dotenv_values(name).items() if value}
    return merged | {key: value for key, value in os.environ.items() if value}


def own_keys(config: Config, env: Mapping[str, str]) -> OwnKeys:
    """What a command of ours can show to the gateway of `config`, which itself has only hashes."""
    entries = [entry.strip() for entry in env.get("GATEWAY_API_KEYS", "").split(",")]
    return OwnKeys.among(filter(None, entries), config.security.keys)


def read_file(file: str | None) -> Mapping[str, Any]:
    named = file or os.environ.get("GATEWAY_CONFIG")
    path = Path(named or DEFAULT_FILE)
    if not path.is_file():
        if named:
            raise ConfigError([f"{path}: there is no such configuration file"])
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not valid YAML: {' '.join(str(error).split())}"]) from error
    if not isinstance(content, dict) or not all(
        isinstance(section, dict | None) for section in content.values()
    ):
        raise ConfigError([f"{path}: must be sections, each with `key: value` lines"])
    return {name: section or {} for name, section in content.items()}


def build_config(content: Mapping[str, Any], env: Mapping[str, str]) -> Config:
    """Settings from a file's `content` and from `env`, checked. Raises ConfigError."""
    problems = [f"{name}: there is no such section" for name in content if name not in _SECTIONS]
    problems += _stray_variables(env)
    sections: dict[str, Any] = {}
    for name, (section_type, schema) in _SECTIONS.items():
        given, refused = _given(name, section_type, content.get(name, {}), env)
        problems += refused
        try:
            loaded = cast(dict[str, Any], schema.load(given))
        except ValidationError as error:
            problems += [f"{name}.{line}" for line in _lines(error.messages_dict)]
        else:
            sections[name] = section_type(**loaded)
    if problems:
        raise ConfigError(problems)
    return Config(**sections)


def _given(
    section: str, section_type: type, content: Mapping[str, Any], env: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    given, refused = dict(content), []
    for item in fields(section_type):
        own, generic = item.metadata["env"], f"{PREFIX}{section}__{item.name}".upper()
        if item.metadata["secret"] and (item.name in content or generic in env):
            refused.append(
                f"{section}.{item.name}: is a secret, set it as {own} in the environment"
            )
            given.pop(item.name, None)
        elif own and _PASSWORD.search(str(content.get(item.name, ""))):
            refused.append(f"{section}.{item.name}: holds a password, set {own} in the environment")
            given.pop(item.name, None)
        for variable in (generic, own):
            if env.get(variable):
                given[item.name] = env[variable]
    return given, refused


def _stray_variables(env: Mapping[str, str]) -> list[str]:
    known = {
        f"{PREFIX}{name}__{item.name}".upper()
        for name, (section_type, _) in _SECTIONS.items()
        for item in fields(section_type)
    }
    stray = (name for name in env if name.startswith(PREFIX) and name not in known)
    return [f"{name}: there is no such setting" for name in stray]


def _lines(messages: Mapping[Any, Any], prefix: str = "") -> list[str]:
    lines = []
    for key, value in messages.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            lines += _lines(value, f"{path}.")
        else:
            lines.append(f"{path}: {' '.join(str(text) for text in value)}")
    return lines


class _Listed(wire.Field[tuple[Any, ...]]):
    """A list in YAML; in an environment variable, comma-separated text or YAML."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = self.split(value)
        if not isinstance(value, list):
            raise ValidationError("Must be a list.")
        return tuple(self.item(entry) for entry in value)

    def split(self, text: str) -> Any:
        return [part.strip() for part in text.split(",") if part.strip()]

    def item(self, entry: Any) -> Any:
        return str(entry)


class _ApiKeys(_Listed):
    def item(self, entry: Any) -> ApiKey:
        try:
            return read_key(str(entry))
        except NotAKey as error:
            raise ValidationError(str(error)) from None


class _HashedKeys(_Listed):
    def item(self, entry: Any) -> HashedKey:
        try:
            return read_hashed_key(str(entry))
        except NotAKey as error:
            raise ValidationError(str(error)) from None


class _Pairs(_Listed):
    """Entries `left:right`; they stay out of messages, for the right is a secret."""

    form: str
    pair: Callable[[str, str], Any]

    def item(self, entry: Any) -> Any:
        left, _, right = str(entry).partition(":")
        if not (left and right):
            raise ValidationError(f"Each must be {self.form}.")
        return self.pair(left, right)


class _BasicAuth(_Pairs):
    form = "user:password"
    pair = Credentials


class _KeyPairs(_Pairs):
    form = "key:secret"
    pair = KeyPair


class _Networks(_Listed):
    def item(self, entry: Any) -> Network:
        try:
            return read_network(str(entry))
        except ValueError as error:
            raise ValidationError(
                f"Must be addresses or networks such as 192.0.2.0/24: {error}."
            ) from None


class _Fallback(_Listed):
    def split(self, text: str) -> Any:
        try:
            return yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValidationError("Must be a list in YAML.") from error

    def item(self, entry: Any) -> FallbackTarget:
        kinds = {"sip", "phone", "say"}
        ok = (
            isinstance(entry, dict)
            and len(kinds & entry.keys()) == 1
            and entry.keys() <= kinds | ({"trunk"} if "phone" in entry else set())
            and all(isinstance(value, str) and value for value in entry.values())
            and str(entry.get("sip", "sip:")).startswith(("sip:", "sips:"))
        )
        if not ok:
            raise ValidationError(
                "Each entry must be one of {sip: 'sip:…'}, {phone: '+…', trunk: '…'}, {say: '…'}; "
                "quote numbers."
            )
        return FallbackTarget(**entry)


_FIELDS: Mapping[Any, type[wire.Field[Any]]] = {
    str: wire.String,
    int: wire.Integer,
    float: wire.Float,
    bool: wire.Boolean,
    tuple[str, ...]: _Listed,
    tuple[ApiKey, ...]: _ApiKeys,
    tuple[HashedKey, ...]: _HashedKeys,
    tuple[Credentials, ...]: _BasicAuth,
    tuple[KeyPair, ...]: _KeyPairs,
    tuple[Network, ...]: _Networks,
    tuple[FallbackTarget, ...]: _Fallback,
}


def _schema(section_type: type) -> Schema:
    hints = get_type_hints(section_type)

    def wire_field(item: Field[Any]) -> wire.Field[Any]:
        return _FIELDS[hints[item.name]](validate=item.metadata["check"] or [])

    return Schema.from_dict({item.name: wire_field(item) for item in fields(section_type)})()


_SECTIONS: Mapping[str, tuple[type, Schema]] = {
    name: (section_type, _schema(section_type))
    for name, section_type in get_type_hints(Config).items()
}
