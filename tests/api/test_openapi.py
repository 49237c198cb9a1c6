"""The OpenAPI document describes every endpoint as it is."""

import json
import re
from typing import Any

import pytest
import schemathesis

from gateway.api.openapi import document
from gateway.api.routes import ENDPOINTS
from gateway.app import create_app
from gateway.web.routes import PAGES
from tests.conftest import READ_KEY, Client, config_for


@pytest.fixture(scope="module")
def spec() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(document(ENDPOINTS)))
    return content


def test_it_has_every_route_and_no_other(spec: dict[str, Any]) -> None:
    routes = create_app(config_for("ws://127.0.0.1")).router.routes()
    served = {
        (route.method.lower(), route.resource.canonical)
        for route in routes
        if route.resource and route.method != "HEAD"
    }
    described = {(method, path) for path, methods in spec["paths"].items() for method in methods}
    assert described == served - {(page.method.lower(), page.path) for page in PAGES}


def test_it_is_valid(spec: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(spec).validate()
    json.dumps(spec, allow_nan=False)


def test_every_reference_resolves_and_every_component_is_used(spec: dict[str, Any]) -> None:
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(spec)))
    assert used == spec["components"]["schemas"].keys()
    named = [
        name
        for methods in spec["paths"].values()
        for operation in methods.values()
        for scheme in operation["security"]
        for name in scheme
    ]
    assert set(named) == spec["components"]["securitySchemes"].keys()


async def test_it_needs_an_api_key(gateway: Client) -> None:
    async with gateway.get("/openapi.json", headers={"X-API-Key": READ_KEY}) as answer:
        assert answer.status == 200
        assert await answer.json() == json.loads(json.dumps(document(ENDPOINTS)))


async def test_endpoints_answer_unauthenticated_clients_only_where_declared(
    gateway: Client, spec: dict[str, Any]
) -> None:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            url = re.sub(r"{\w+}", "x", path)
            async with gateway.request(method, url, data=b"{}") as answer:
                assert (answer.status == 401) == bool(operation["security"]), (method, path)
