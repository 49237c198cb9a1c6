"""Whether the variables that a deployment sets are settings, of the gateway or of the worker."""

from collections.abc import Mapping
from dataclasses import fields

from agent.settings import VARIABLES
from gateway.config.loader import PREFIX, build_config
from gateway.config.settings import Config

_GATEWAY = {
    item.metadata["env"]
    for section in fields(Config)
    for item in fields(getattr(Config(), section.name))
}


def check_variables(env: Mapping[str, str]) -> Config:
    """The gateway's configuration with `env`. Raises ConfigError, and AssertionError for a name."""
    unknown = {name for name in env if not name.startswith(PREFIX)} - _GATEWAY - VARIABLES.keys()
    assert not unknown
    return build_config({}, env)
