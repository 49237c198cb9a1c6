"""Signing in to the page: sessions of any gateway, and how they end."""

import time
from collections.abc import Mapping
from http.cookies import SimpleCookie

import pytest

from gateway.api import limits
from gateway.api.auth import SESSION_COOKIE
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter, jambonz_for, list_calls

SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


async def signed_in(
    gateway: Client, key: str, *, headers: Mapping[str, str] = SAME_ORIGIN, target: str = "/"
) -> tuple[int, str, SimpleCookie]:
    """The answer to the form: its status, where it leads, its cookies."""
    form = {"key": key, "next": target}
    async with gateway.post(
        "/sign-in", data=form, headers=headers, allow_redirects=False
    ) as answer:
        gateway.session.cookie_jar.clear()  # tests send the cookies themselves
        return answer.status, answer.headers.get("Location", ""), answer.cookies


async def session(gateway: Client, key: str = READ_KEY) -> str:
    status, _, cookies = await signed_in(gateway, key)
    assert status == 303
    return cookies[SESSION_COOKIE].value


async def status_with(
    gateway: Client, token: str, path: str = "/livekit-api/calls", method: str = "GET", **more: str
) -> int:
    headers = {"Cookie": f"{SESSION_COOKIE}={token}", **more}
    async with gateway.request(method, path, headers=headers) as answer:
        return answer.status


async def test_the_cookie_can_be_read_by_no_script_and_comes_with_no_other_page(
    gateway: Client,
) -> None:
    _, _, cookies = await signed_in(gateway, READ_KEY)
    cookie = cookies[SESSION_COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert cookie["path"] == "/"
    assert int(cookie["max-age"]) == 43_200
    assert not cookie["secure"]
    assert READ_KEY not in cookie.value


async def test_by_tls_the_cookie_is_secure(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"GATEWAY_PUBLIC_URL": "https://gateway.example.com"})
    _, _, cookies = await signed_in(gateway, READ_KEY)
    assert cookies[SESSION_COOKIE]["secure"]


async def test_a_session_is_one_at_every_gateway_of_the_configuration(
    start_gateway: GatewayStarter,
) -> None:
    one, other = await start_gateway(), await start_gateway()
    token = await session(one)
    assert await status_with(other, token) == 200


async def test_a_session_has_the_role_of_its_key(gateway: Client) -> None:
    await jambonz_for(gateway).call_arrives()
    call_id = (await list_calls(gateway))["calls"][0]["call_id"]
    path = f"/livekit-api/calls/{call_id}/hangup"
    assert await status_with(gateway, await session(gateway), path, "POST", **SAME_ORIGIN) == 403
    token = await session(gateway, DISPATCH_KEY)
    assert await status_with(gateway, token, path, "POST", **SAME_ORIGIN) == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
    ],
)
async def test_another_page_changes_nothing_by_the_cookie(
    gateway: Client, headers: dict[str, str]
) -> None:
    await jambonz_for(gateway).call_arrives()
    call_id = (await list_calls(gateway))["calls"][0]["call_id"]
    token, path = await session(gateway, DISPATCH_KEY), f"/livekit-api/calls/{call_id}/hangup"
    assert await status_with(gateway, token, path, "POST", **headers) == 403
    assert (await signed_in(gateway, READ_KEY, headers=headers))[0] == 403
    assert (await list_calls(gateway))["active"] == 1


async def test_a_browser_without_sec_fetch_site_is_known_by_its_origin(gateway: Client) -> None:
    origin = str(gateway.make_url("")).rstrip("/")
    assert (await signed_in(gateway, READ_KEY, headers={"Origin": origin}))[0] == 303


async def test_a_session_ends_with_its_key(start_gateway: GatewayStarter) -> None:
    token = await session(await start_gateway())
    later = await start_gateway({"GATEWAY_API_KEYS": "ops:read:another-secret"})
    assert await status_with(later, token) == 401


async def test_a_session_ends_at_its_time(
    start_gateway: GatewayStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start_gateway(web={"session_lifetime": 60})
    token = await session(gateway)
    assert await status_with(gateway, token) == 200
    now = time.time()
    monkeypatch.setattr("gateway.api.auth.time.time", lambda: now + 61)
    assert await status_with(gateway, token) == 401


async def test_a_forged_session_is_none(gateway: Client) -> None:
    token = await session(gateway)
    name, end, signature = token.rsplit(".", 2)
    for forged in (
        f"n8n.{end}.{signature}",
        f"{name}.{int(end) + 1}.{signature}",
        f"{name}.{end}.{'0' * 64}",
        f"{name}.{end}.é",
        f"{name}.9e9.{signature}",
        "",
        "..",
        "x",
    ):
        assert await status_with(gateway, forged) == 401


async def test_signing_out_drops_the_cookie(gateway: Client) -> None:
    async with gateway.post("/sign-out", headers=SAME_ORIGIN, allow_redirects=False) as answer:
        assert answer.status == 303
        assert answer.cookies[SESSION_COOKIE]["max-age"] == "0"


async def test_a_wrong_key_is_told_and_tried_a_few_times_only(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    statuses = [(await signed_in(gateway, f"guess-{n}"))[0] for n in range(limits.SIGN_IN_BURST)]
    assert statuses == [401] * limits.SIGN_IN_BURST
    status, _, cookies = await signed_in(gateway, READ_KEY)
    assert (status, SESSION_COOKIE in cookies) == (429, False)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/calls/call-1?x=1", "/calls/call-1?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("\\\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\r\nSet-Cookie: x=1", "/Set-Cookie:%20x=1"),
        ("http://[", "/"),
        ("", "/"),
    ],
)
async def test_after_it_the_page_that_was_asked_for(
    gateway: Client, target: str, path: str
) -> None:
    status, location, _ = await signed_in(gateway, READ_KEY, target=target)
    assert (status, location) == (303, path)


async def test_a_form_that_is_none(gateway: Client) -> None:
    for body, status in (
        (b"\xff" * 100, 401),
        (b"&".join([b"a=1"] * 100), 422),
        (b"x" * 20_000, 413),
    ):
        async with gateway.post("/sign-in", data=body, headers=SAME_ORIGIN) as answer:
            assert answer.status == status
            assert answer.content_type == "text/html"


async def test_an_address_that_is_not_listed_may_not_sign_in(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(security={"api_addresses": ["192.0.2.1"]})
    assert (await signed_in(gateway, READ_KEY))[0] == 403
    async with gateway.get("/sign-in") as answer:
        assert answer.status == 403
        assert answer.content_type == "text/html"


async def test_without_api_keys_nobody_signs_in(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"GATEWAY_API_KEYS": ""})
    async with gateway.get("/sign-in", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
