"""config.yaml, .env.local and the environment → one frozen Config. Only this reads os.environ."""

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_type_hints

import yaml
from dotenv import dotenv_values
from marshmallow import Schema, ValidationError

from gateway.config.field_types import FIELD_TYPES
from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.security.api_keys import OwnKeys

DEFAULT_FILE = "config.yaml"
ENV_FILE = ".env.local"
#: Written by `dev`, read by `simulate` and `doctor` in another terminal: the addresses and keys of
#: what `dev` has started.
DEV_ENV = ".run/dev.env"
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
        merged |= {key: value for key, value in dotenv_values(name).items() if value}
    return merged | {key: value for key, value in os.environ.items() if value}


def own_keys(config: Config, env: Mapping[str, str]) -> OwnKeys:
    """The API keys that a command can send to the gateway of `config`, which has only hashes."""
    entries = [entry.strip() for entry in env.get("GATEWAY_API_KEYS", "").split(",")]
    return OwnKeys.from_entries(filter(None, entries), config.security.keys)


def read_file(file: str | None) -> Mapping[str, Any]:
    """The sections of a configuration file. Raises ConfigError, also if a named file is missing."""
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
            problems += [f"{name}.{line}" for line in _error_lines(error.messages_dict)]
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
            if env.get(variable):
                values[item.name] = env[variable]
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


def _error_lines(messages: Mapping[Any, Any], prefix: str = "") -> list[str]:
    lines = []
    for key, value in messages.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping):
            lines += _error_lines(value, f"{path}.")
        else:
            lines.append(f"{path}: {' '.join(str(text) for text in value)}")
    return lines


def _schema(section_type: type) -> Schema:
    hints = get_type_hints(section_type)
    return Schema.from_dict(
        {
            item.name: FIELD_TYPES[hints[item.name]](validate=item.metadata["check"] or [])
            for item in dataclasses.fields(section_type)
        }
    )()


_SECTIONS: Mapping[str, tuple[type, Schema]] = {
    name: (section_type, _schema(section_type))
    for name, section_type in get_type_hints(Config).items()
}
