"""The OpenAPI document: every door, as it is."""

import json
import re
from typing import Any

import pytest
import schemathesis

from gateway.api.openapi import document
from gateway.api.routes import ENDPOINTS
from gateway.app import create_app
from tests.conftest import READ_KEY, Client, config_for


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(document(ENDPOINTS)))
    return content


def test_it_has_every_door_and_no_other(told: dict[str, Any]) -> None:
    routes = create_app(config_for("ws://127.0.0.1")).router.routes()
    there = {
        (route.method.lower(), route.resource.canonical)
        for route in routes
        if route.resource and route.method != "HEAD"
    }
    described = {(method, path) for path, methods in told["paths"].items() for method in methods}
    assert described == there


def test_it_is_valid(told: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(told).validate()
    json.dumps(told, allow_nan=False)


def test_all_that_it_refers_to_is_there_and_used(told: dict[str, Any]) -> None:
    used = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(told)))
    assert used == told["components"]["schemas"].keys()
    named = [
        name
        for methods in told["paths"].values()
        for operation in methods.values()
        for proof in operation["security"]
        for name in proof
    ]
    assert set(named) == told["components"]["securitySchemes"].keys()


async def test_it_is_for_those_with_a_key(gateway: Client) -> None:
    async with gateway.get("/openapi.json", headers={"X-API-Key": READ_KEY}) as answer:
        assert answer.status == 200
        assert await answer.json() == json.loads(json.dumps(document(ENDPOINTS)))


async def test_doors_answer_without_proof_only_where_it_says_so(
    gateway: Client, told: dict[str, Any]
) -> None:
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            url = re.sub(r"{\w+}", "x", path)
            async with gateway.request(method, url, data=b"{}") as answer:
                assert (answer.status == 401) == bool(operation["security"]), (method, path)
