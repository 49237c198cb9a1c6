"""config.yaml, .env.local and the environment → one frozen Config. Only this reads os.environ."""

import dataclasses
import fcntl
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_type_hints

import yaml
from dotenv import dotenv_values
from marshmallow import Schema, ValidationError, fields

from gateway.config.field_types import FIELD_TYPES, Address, split_list
from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.security.api_keys import OwnKeys

DEFAULT_FILE = "config.yaml"
ENV_FILE = ".env.local"
#: Written by `dev`, read by other commands in another terminal: the addresses and keys of what
#: `dev` has started.
DEV_ENV = ".run/dev.env"
#: In it: the URL of the LiveKit server that `dev` has started, which has no SIP.
DEV_LIVEKIT = "DEV_LIVEKIT_URL"
#: What commands read that work with a running gateway; `serve` itself reads ENV_FILE only.
CLIENT_ENV_FILES = (ENV_FILE, DEV_ENV)
PREFIX = "GATEWAY__"
_URL_WITH_PASSWORD = re.compile(r"://[^/?#]*:.*@|[?&](sentinel_)?password=")


def load_config(file: str | None = None, *, env_files: tuple[str, ...] = (ENV_FILE,)) -> Config:
    """Read all settings. The environment overrides `env_files`, and both override `file`.

    `file` defaults to $GATEWAY_CONFIG, then to config.yaml if it exists. Raises ConfigError with
    one line for each mistake.
    """
    return build_config(read_file(file), environment(env_files))


def environment(env_files: tuple[str, ...] = (ENV_FILE,)) -> dict[str, str]:
    """The variables of `env_files` that exist, overridden by the process environment."""
    merged: dict[str, str] = {}
    for name in env_files:
        if name == DEV_ENV and not _is_locked(name):
            continue  # there is none, or it is of a `dev` that was killed
        merged |= {key: value for key, value in dotenv_values(name).items() if value}
    return merged | {key: value for key, value in os.environ.items() if value}


def _is_locked(name: str) -> bool:
    """Whether a file is locked by another process, as `dev` locks DEV_ENV while it runs."""
    try:
        with open(name) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def own_keys(config: Config, env: Mapping[str, str]) -> OwnKeys:
    """The API keys that a command can send to the gateway of `config`, which has only hashes."""
    entries = map(str, split_list(env.get("GATEWAY_API_KEYS", "")))
    return OwnKeys.from_entries(entries, config.security.keys)


def read_file(file: str | None) -> Mapping[str, Any]:
    """The sections of a configuration file. Raises ConfigError, also if a named file is missing."""
    named = file or os.environ.get("GATEWAY_CONFIG")
    path = Path(named or DEFAULT_FILE)
    if not path.is_file():
        if named:
            raise ConfigError([f"{path}: there is no such configuration file"])
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        repeated = _repeated_keys(yaml.compose(text, yaml.SafeLoader))
        content = yaml.safe_load(text) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: not valid YAML: {' '.join(str(error).split())}"]) from error
    if repeated:
        raise ConfigError([f"{path}: {problem}" for problem in repeated])
    if not isinstance(content, dict) or not all(
        isinstance(section, dict | None) for section in content.values()
    ):
        raise ConfigError([f"{path}: must be sections, each with `key: value` lines"])
    return {name: section or {} for name, section in content.items()}


def _repeated_keys(root: yaml.Node | None) -> list[str]:
    """A line for each section, or setting in a section, that is there twice: YAML drops the first.

    Such files come from pasting a section of the documentation at the end.
    """
    problems = []
    sections = root.value if isinstance(root, yaml.MappingNode) else []
    mappings = [("", sections)]
    mappings += [(f"{k.value}.", v.value) for k, v in sections if isinstance(v, yaml.MappingNode)]
    for prefix, pairs in mappings:
        lines: dict[str, int] = {}
        for key, _ in pairs:
            name, line = f"{prefix}{key.value}", key.start_mark.line + 1
            if name in lines:
                problems.append(f"{name} is there twice, in lines {lines[name]} and {line}")
            lines[name] = line
    return problems


def build_config(content: Mapping[str, Any], env: Mapping[str, str]) -> Config:
    """The validated settings of a file's `content` and of `env`. Raises ConfigError."""
    problems = [f"{name}: there is no such section" for name in content if name not in _SECTIONS]
    problems += _unknown_variables(env)
    sections: dict[str, Any] = {}
    for name, (section_type, schema) in _SECTIONS.items():
        values, misplaced = _section_values(name, section_type, content.get(name, {}), env)
        problems += misplaced
        try:
            loaded = cast(dict[str, Any], schema.load(values))
        except ValidationError as error:
            problems += _error_lines(name, section_type, error.messages_dict)
        else:
            sections[name] = section_type(**loaded)
    if problems:
        raise ConfigError(problems)
    return Config(**sections)


def _section_values(
    section: str, section_type: type, content: Mapping[str, Any], env: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """A section's values by key, and a line for each secret that is not in the environment."""
    values, misplaced = dict(content), []
    for item in dataclasses.fields(section_type):
        own, generic = item.metadata["env"], _generic_variable(section, item.name)
        if item.metadata["secret"] and (item.name in content or generic in env):
            misplaced.append(
                f"{section}.{item.name}: is a secret, set it as {own} in the environment"
            )
            values.pop(item.name, None)
        elif own and _URL_WITH_PASSWORD.search(str(content.get(item.name, ""))):
            misplaced.append(
                f"{section}.{item.name}: holds a password, set {own} in the environment"
            )
            values.pop(item.name, None)
        for variable in (generic, own):
            if text := env.get(variable, "").strip():
                values[item.name] = text
    return values, misplaced


def _generic_variable(section: str, key: str) -> str:
    return f"{PREFIX}{section}__{key}".upper()


def _unknown_variables(env: Mapping[str, str]) -> list[str]:
    known = {
        _generic_variable(name, item.name)
        for name, (section_type, _) in _SECTIONS.items()
        for item in dataclasses.fields(section_type)
    }
    unknown = (name for name in env if name.startswith(PREFIX) and name not in known)
    return [f"{name}: there is no such setting" for name in unknown]


def _error_lines(section: str, section_type: type, messages: Mapping[str, Any]) -> list[str]:
    """A line for each setting, with the variable that may have set it."""
    variables = {item.name: item.metadata["env"] for item in dataclasses.fields(section_type)}
    lines = []
    for key, texts in messages.items():
        variable = f" ({variables[key]})" if variables.get(key) else ""
        lines.append(f"{section}.{key}{variable}: {' '.join(map(str, texts))}")
    return lines


def _schema(section_type: type) -> Schema:
    hints = get_type_hints(section_type)
    return Schema.from_dict(
        {item.name: _field(item, hints[item.name]) for item in dataclasses.fields(section_type)}
    )()


def _field(item: dataclasses.Field[Any], hint: Any) -> fields.Field[Any]:
    if read := item.metadata["read"]:
        return Address(read)
    return FIELD_TYPES[hint](validate=item.metadata["check"] or [])


_SECTIONS: Mapping[str, tuple[type, Schema]] = {
    name: (section_type, _schema(section_type))
    for name, section_type in get_type_hints(Config).items()
}
