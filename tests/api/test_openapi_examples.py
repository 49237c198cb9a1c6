"""The OpenAPI document in the eyes of others: validators, callbacks, examples."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api.openapi import document
from gateway.api.routes import ENDPOINTS
from gateway.callbacks.events import CallbackEvent
from tests.conftest import READ_KEY, GatewayStarter

SPEC: dict[str, Any] = json.loads(json.dumps(document(ENDPOINTS)))


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each endpoint and callback with its Operation Object."""
    for part in ("paths", "webhooks"):
        for path, methods in SPEC[part].items():
            for method, operation in methods.items():
                yield f"{method.upper()} {path}", operation


def contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each body and response with its Media Type Object."""
    for name, operation in operations():
        messages = {**operation["responses"], "body": operation.get("requestBody", {})}
        for part, message in messages.items():
            for media_type in message.get("content", {}).values():
                yield f"{name} {part}", media_type


CONTENTS = dict(contents())
WITH_EXAMPLE = [name for name, media_type in CONTENTS.items() if "example" in media_type]


@pytest.mark.field("F8")
def test_two_validators_accept_it() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(SPEC).iter_errors()] == []
    schemathesis.openapi.from_dict(SPEC).validate()


@pytest.mark.field("F8")
async def test_it_names_its_server(start_gateway: GatewayStarter) -> None:
    assert SPEC["servers"][0]["url"] == "/"
    gateway = await start_gateway({"GATEWAY_PUBLIC_URL": "https://gateway.example.com/"})
    async with gateway.get("/openapi.json", headers={"X-API-Key": READ_KEY}) as response:
        servers = (await response.json())["servers"]
    assert servers[0]["url"] == "https://gateway.example.com"


@pytest.mark.field("F8")
def test_each_callback_is_a_webhook() -> None:
    assert SPEC["webhooks"].keys() == {str(event) for event in CallbackEvent}


@pytest.mark.field("F8")
@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_each_example_is_what_its_schema_says(name: str) -> None:
    schema = {**CONTENTS[name]["schema"], "components": SPEC["components"]}
    Draft202012Validator(schema).validate(CONTENTS[name]["example"])


@pytest.mark.field("F8")
def test_every_body_that_somebody_has_to_write_has_an_example() -> None:
    without = {name for name in CONTENTS if name not in WITH_EXAMPLE}
    assert not {name for name in without if name.endswith(" body")}
    assert "POST /dispatch 200" not in without
