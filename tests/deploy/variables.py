"""Whether the variables that a deployment sets are settings, and stay as it sets them."""

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path

from dotenv import dotenv_values

from agent.settings import VARIABLES
from gateway.config.loader import PREFIX, build_config
from gateway.config.settings import Config

SHIPPED = dotenv_values(Path(__file__).parents[2] / ".env.example")
_GATEWAY = {
    item.metadata["env"]
    for section in fields(Config)
    for item in fields(getattr(Config(), section.name))
}


def check_environment_file(preset: Collection[str]) -> None:
    """A copy of .env.example, in which nothing was changed, must not replace what is preset."""
    assert not SHIPPED.keys() & set(preset)


def check_variables(env: Mapping[str, str]) -> Config:
    """The gateway's configuration with `env`. Raises ConfigError, and AssertionError for a name."""
    unknown = {name for name in env if not name.startswith(PREFIX)} - _GATEWAY - VARIABLES.keys()
    assert not unknown
    return build_config({}, env)
