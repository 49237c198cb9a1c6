"""Address lists of each client group, with and without a proxy; basic auth for hooks."""

import json

import pytest

from gateway.calls.destinations import Credentials
from gateway.jambonz.basic_auth import encode
from tests.api.test_livekit import send, webhook
from tests.conftest import READ_KEY, Client, GatewayStarter, jambonz_for

PROXIED = {"api_addresses": ["192.0.2.0/24"], "trusted_proxies": ["127.0.0.0/8"]}
HOOK = json.dumps({"call_sid": "1", "call_status": "trying"}).encode()


async def ask(gateway: Client, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    headers = {"X-API-Key": READ_KEY, **named}
    async with gateway.get("/livekit-api/calls", headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("192.0.2.7", 200),
        ("192.0.2.7, 127.0.0.9", 200),
        ("[::ffff:192.0.2.7]:5000", 200),
        ("198.51.100.1", 403),
        ("192.0.2.7, 198.51.100.1", 403),
        ("192.0.2.7, unknown", 403),
        ("", 403),
    ],
)
async def test_a_trusted_proxy_is_believed(
    start_gateway: GatewayStarter, said: str, status: int
) -> None:
    gateway = await start_gateway(security=PROXIED)
    assert await ask(gateway, X_Forwarded_For=said) == status


async def test_the_proxy_itself_is_not_on_the_list(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(security=PROXIED)
    assert await ask(gateway) == 403


async def test_another_proxy_is_not_believed(start_gateway: GatewayStarter) -> None:
    security = {**PROXIED, "trusted_proxies": ["10.0.0.0/8"], "api_addresses": ["127.0.0.1"]}
    gateway = await start_gateway(security=security)
    assert await ask(gateway, X_Forwarded_For="198.51.100.1") == 200


async def test_the_log_has_the_client_that_was_found(
    start_gateway: GatewayStarter, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = await start_gateway(security=PROXIED)
    assert await ask(gateway, X_Forwarded_For="203.0.113.9, 198.51.100.77") == 403
    logged = capsys.readouterr().out
    assert "request.refused" in logged
    assert "198.51.100.77" in logged
    assert "203.0.113.9" not in logged


async def hook(gateway: Client, authorization: str = "") -> tuple[int, str]:
    headers = {"Content-Type": "application/json"}
    if authorization:
        headers["Authorization"] = authorization
    async with gateway.post("/livekit-api/call-status", data=HOOK, headers=headers) as answer:
        return answer.status, (await answer.json())["error"] if answer.status >= 400 else ""


async def test_basic_auth_proves_a_hook_and_so_does_a_signature(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway({"JAMBONZ_WEBHOOK_AUTH": "jambonz:new,jambonz:old"})
    for password in ("new", "old"):
        assert await hook(gateway, encode(Credentials("jambonz", password))) == (204, "")
    await jambonz_for(gateway).call_arrives()
    assert await hook(gateway) == (401, "bad_signature")
    assert await hook(gateway, encode(Credentials("jambonz", "older"))) == (401, "bad_signature")


async def test_basic_auth_alone_is_a_proof(start_gateway: GatewayStarter) -> None:
    env = {"JAMBONZ_WEBHOOK_AUTH": "jambonz:hush", "JAMBONZ_WEBHOOK_SECRET": ""}
    gateway = await start_gateway(env)
    assert await hook(gateway, encode(Credentials("jambonz", "hush"))) == (204, "")
    assert await hook(gateway) == (401, "bad_basic_auth")
    jambonz = jambonz_for(gateway, secret="")
    jambonz.credentials = Credentials("jambonz", "hush")
    assert (await jambonz.call_arrives())[0]["verb"] == "dial"


async def test_a_webhook_of_livekits_may_be_signed_with_the_key_before(
    start_gateway: GatewayStarter,
) -> None:
    body = webhook("room_started", "theirs")
    gateway = await start_gateway({"LIVEKIT_PREVIOUS_KEYS": "fake-key:" + "b" * 32})
    assert await send(gateway, "/livekit/webhook", body, secret="b" * 32) == 204
    assert await send(gateway, "/livekit/webhook", body) == 204
    assert await send(gateway, "/livekit/webhook", body, secret="c" * 32) == 401
