"""The endpoints, one module for each kind of client; `ENDPOINTS` is the route table."""

from collections.abc import Iterable
from types import ModuleType

from gateway.api.endpoints import Endpoint
from gateway.api.routes import (
    calls,
    dispatch,
    events,
    health,
    history,
    jambonz,
    legacy,
    livekit,
    metrics,
    web_calls,
    websocket,
)
from gateway.api.routes.openapi import with_openapi

_MODULES = (
    jambonz,
    websocket,
    legacy,
    dispatch,
    web_calls,
    calls,
    history,
    events,
    livekit,
    health,
    metrics,
)


def _declared_in(modules: Iterable[ModuleType]) -> list[Endpoint]:
    """The endpoints of `modules` in the order of their declaration."""
    values = (value for module in modules for value in vars(module).values())
    return [value for value in values if isinstance(value, Endpoint)]


ENDPOINTS: tuple[Endpoint, ...] = with_openapi(_declared_in(_MODULES))
