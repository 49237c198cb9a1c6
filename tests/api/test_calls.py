"""Listing and showing calls: filters, pages, API keys, health."""

from typing import Any

import pytest
from yarl import URL

from gateway.api.services import SERVICES
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter, jambonz_for, list_calls
from tests.fakes.livekit import FakeLiveKit


async def test_an_empty_list(gateway: Client) -> None:
    assert await list_calls(gateway) == {
        "calls": [],
        "active": 0,
        "next_cursor": None,
        "is_complete": True,
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?from_number=%2B15550101", 1),
        ("?from_number=anonymous", 0),
        ("?to_number=%2B15550199", 3),
        ("?status=registered", 3),
        ("?status=ended", 0),
        ("?direction=inbound", 3),
        ("?direction=outbound", 0),
        ("?agent_name=nehos-outbound-agent&account_code=", 3),
        ("?agent_name=other", 0),
        ("?account_code=em", 0),
        ("?since=0", 3),
        ("?since=2999-01-01T00:00:00Z", 0),
        ("?since=2020-01-01", 3),
        ("?limit=2", 2),
        ("?until=0", 0),
        ("?until=2999-01-01", 3),
        ("?q=5550101", 1),
        ("?q=%2B1%20555%200101", 1),
        ("?q=15550199", 3),
        ("?q=CALL-", 3),
        ("?q=5550103", 0),
        ("?disconnection_reason=user_hangup", 0),
    ],
)
async def test_filters(gateway: Client, query: str, found: int) -> None:
    for number in range(3):
        await jambonz_for(gateway, from_number=f"+1555010{number}").call_arrives()
    listing = await list_calls(gateway, query)
    assert len(listing["calls"]) == found
    assert listing["active"] == 3


@pytest.mark.field("F3")
@pytest.mark.parametrize("number", ["%2B15550101", "+15550101", "15550101", "%2015550101"])
async def test_a_number_is_found_with_and_without_its_plus(gateway: Client, number: str) -> None:
    """An unescaped + is a blank in a query (application/x-www-form-urlencoded)."""
    for own in ("+15550101", "15550101", "+15550102"):
        await jambonz_for(gateway, from_number=own, to_number=own).call_arrives()
    for name in ("from_number", "to_number"):
        url = gateway.make_url("/livekit-api/calls")
        target = URL(f"{url}?{name}={number}", encoded=True)
        headers = {"X-API-Key": READ_KEY}
        async with gateway.session.get(target, headers=headers) as response:
            found = [call[name] for call in (await response.json())["calls"]]
        assert sorted(found) == ["+15550101", "15550101"]


async def test_calls_by_the_reason_of_their_end(gateway: Client) -> None:
    ids = []
    for number in range(2):
        jambonz = jambonz_for(gateway, from_number=f"+1555010{number}")
        await jambonz.call_arrives()
        (call,) = (await list_calls(gateway, f"?q=1555010{number}"))["calls"]
        ids.append(call["call_id"])
    await _post(gateway, f"/livekit-api/calls/{ids[0]}/hangup")
    found = (await list_calls(gateway, "?disconnection_reason=manual_stopped"))["calls"]
    assert [call["call_id"] for call in found] == ids[:1]


async def test_todays_calls(gateway: Client) -> None:
    for number in range(3):
        await jambonz_for(gateway, from_number=f"+1555010{number}").call_arrives()
    calls = (await list_calls(gateway))["calls"]
    await _post(gateway, f"/livekit-api/calls/{calls[0]['call_id']}/hangup")
    async with gateway.get("/livekit-api/today", headers={"X-API-Key": READ_KEY}) as response:
        today = await response.json()
    assert today.pop("since") <= calls[-1]["start_timestamp"]
    assert today == {
        "calls": 3,
        "active": 2,
        "ended": 1,
        "answered": 0,
        "reasons": {"manual_stopped": 1},
        "silent": 0,
        "first_audio_p50_ms": None,
        "is_complete": True,
    }


async def _post(gateway: Client, path: str) -> None:
    async with gateway.post(path, headers={"X-API-Key": DISPATCH_KEY}) as response:
        assert response.status == 200, await response.text()


@pytest.mark.field("B12")
async def test_a_blank_filter_counts_as_left_out(gateway: Client) -> None:
    await jambonz_for(gateway).call_arrives()
    blank = "&".join(f"{name}=" for name in ("status", "from_number", "since", "limit", "cursor"))
    assert len((await list_calls(gateway, f"?{blank}"))["calls"]) == 1


async def test_pages(gateway: Client) -> None:
    for number in range(5):
        await jambonz_for(gateway, from_number=f"+1555010{number}").call_arrives()
    seen: list[Any] = []
    query = "?limit=2"
    while True:
        listing = await list_calls(gateway, query)
        seen += [call["call_id"] for call in listing["calls"]]
        if not listing["next_cursor"]:
            break
        query = f"?limit=2&cursor={listing['next_cursor']}"
    assert len(seen) == len(set(seen)) == 5


async def test_a_call_that_is_not_there(gateway: Client) -> None:
    headers = {"Authorization": f"Bearer {READ_KEY}"}
    async with gateway.get("/livekit-api/calls/call-x", headers=headers) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"] == "not_found"


async def test_secrets_and_the_room_token_are_not_shown(gateway: Client) -> None:
    await jambonz_for(gateway).call_arrives()
    (call,) = (await list_calls(gateway))["calls"]
    headers = {"X-API-Key": READ_KEY}
    async with gateway.get(f"/livekit-api/calls/{call['call_id']}", headers=headers) as answer:
        text = await answer.text()
    assert "secret" not in text


async def test_health_needs_no_key(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    async with gateway.get("/healthz") as answer:
        assert await answer.json() == {"status": "ok"}
    async with gateway.get("/readyz") as answer:
        assert answer.status == 200


async def test_a_draining_gateway_is_not_ready_and_still_answers(gateway: Client) -> None:
    gateway.app[SERVICES].draining.set()
    async with gateway.get("/readyz") as answer:
        assert answer.status == 503
        assert (await answer.json())["checks"]["draining"] == "draining"
    assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"


async def test_without_keys_calls_are_open(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"GATEWAY_API_KEYS": ""})
    async with gateway.get("/livekit-api/calls") as answer:
        assert answer.status == 200
