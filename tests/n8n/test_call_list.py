"""The list's workflow in a real n8n: whom it calls when, and what it writes into the table."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.conftest import DISPATCH_KEY, Client, get_call, list_calls
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.n8n.call_list import CallList, call_list, clock, list_of, noon
from tests.n8n.conftest import User, eventually, node_of
from tests.n8n.scripted_gateway import Drop, Response, ScriptedGateway, accepted, refused

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)

ANN, BOB, CAROL = "+61491570156", "+61491570157", "+61491570158"
HEADERS = {"X-API-Key": DISPATCH_KEY}


@pytest.fixture
async def gateway_url(gateway: Client) -> str:
    return str(gateway.make_url("")).rstrip("/")


@pytest.fixture
async def scripted(
    user: User, scripted_gateway: ScriptedGateway, request: pytest.FixtureRequest
) -> CallList:
    text = list_of(ANN, BOB, CAROL)
    return await call_list(user, request.node.name, text, scripted_gateway.url)


def called(gateway: ScriptedGateway) -> list[str]:
    return [request.body["destination"] for request in gateway.requests]


async def hang_up(gateway: Client, number: str) -> None:
    calls = (await list_calls(gateway, f"?to_number={number[1:]}"))["calls"]
    url = f"/livekit-api/calls/{calls[0]['call_id']}/hangup"
    async with gateway.post(url, headers=HEADERS) as response:
        assert response.status == 200, await response.text()


async def settled(gateway: Client, ended: int) -> None:
    """Return once so many calls have ended at the gateway."""

    async def are_over() -> bool | None:
        calls = (await list_calls(gateway, "?include=ended"))["calls"]
        return sum(bool(call["end_timestamp"]) for call in calls) == ended or None

    await eventually(are_over)


async def test_every_row_gets_its_outcome_after_its_retries(
    user: User,
    gateway: Client,
    gateway_url: str,
    fake_livekit: FakeLiveKit,
    request: pytest.FixtureRequest,
) -> None:
    """A busy number is called twice, one that does not answer three times, others once."""
    callees = {
        "+61491570157": ((486, "Busy Here"), "busy", 2),
        "+61491570158": ((480, "Temporarily Unavailable"), "no answer", 3),
        "+61491570159": ((404, "Not Found"), "failed", 1),
        "+61491570110": ((603, "Decline"), "declined", 1),
    }
    for number, (sip, *_) in callees.items():
        fake_livekit.callees[number] = Callee(sip=sip)
    made = await call_list(user, request.node.name, list_of(ANN, *callees), gateway_url)
    await made.minute()
    await hang_up(gateway, ANN)
    for ended in (5, 7, 8):
        await settled(gateway, ended)
        await made.minute()  # asks
        await made.minute()  # calls again
    rows = await made.rows()
    expected = [("answered", "1"), *((name, str(n)) for _, name, n in callees.values())]
    assert await made.outcomes() == expected
    assert [row["message"] for row in rows] == [
        "manual_stopped",
        *(f"{status} {reason}" for (status, reason), *_ in callees.values()),
    ]
    for row in rows:
        call = await get_call(gateway, row["call_id"])
        number = row["destination"].replace(" ", "")
        assert (call["to_number"], call["metadata"]["row"]) == (number, row["id"])
        assert call["metadata"]["attempt"] == int(row["attempts"])
        assert call["metadata"]["name"] == row["name"]
        assert not row["next_attempt_at"]
    assert len((await list_calls(gateway, "?include=ended"))["calls"]) == 8


async def test_no_more_calls_than_wanted_go_on_at_once(
    user: User, gateway: Client, gateway_url: str, request: pytest.FixtureRequest
) -> None:
    made = await call_list(user, request.node.name, list_of(ANN, BOB, CAROL), gateway_url)
    made.set(calls_at_once=2)
    await made.minute()
    await made.minute()
    assert await made.outcomes() == [("calling", "1"), ("calling", "1"), ("", "")]
    await hang_up(gateway, BOB)
    await settled(gateway, 1)
    await made.minute()
    await made.minute()
    assert await made.outcomes() == [("calling", "1"), ("answered", "1"), ("calling", "1")]


@pytest.mark.parametrize(
    ("hours", "is_open"),
    [
        ({"opens": -1, "closes": 1}, True),
        ({"opens": 1, "closes": 2}, False),
        ({"opens": -2, "closes": -1}, False),
    ],
)
async def test_nobody_is_called_outside_the_hours(
    hours: dict[str, int],
    is_open: bool,
    scripted: CallList,
    scripted_gateway: ScriptedGateway,
) -> None:
    scripted.set(**{name: clock(hours=hour) for name, hour in hours.items()})
    await scripted.minute()
    assert len(scripted_gateway.requests) == (3 if is_open else 0)


async def test_nobody_is_called_on_other_days(
    scripted: CallList, scripted_gateway: ScriptedGateway
) -> None:
    scripted.set(days=f"{datetime.now(UTC) + timedelta(days=2):%a}")
    await scripted.minute()
    assert scripted_gateway.requests == []


async def test_a_row_has_the_hours_of_its_own_time_zone(
    user: User, scripted_gateway: ScriptedGateway, request: pytest.FixtureRequest
) -> None:
    header, ann, bob, *_ = list_of(ANN, BOB).splitlines()
    text = f"{header},timezone\n{ann},Nowhere/Land\n{bob},{noon()}\n"
    made = await call_list(user, request.node.name, text, scripted_gateway.url)
    there = "UTC" if noon() != "UTC" else "Asia/Tokyo"
    made.set(timezone=there, opens=clock(minutes=-5), closes=clock(minutes=5))
    await made.minute()
    assert called(scripted_gateway) == [BOB]
    assert "timezone" not in scripted_gateway.requests[0].body["metadata"]
    assert await made.outcomes() == [("not dispatched", ""), ("calling", "1")]
    assert "timezone must be" in (await made.rows())[0]["message"]


async def test_a_column_is_a_field_of_the_request_or_metadata(
    user: User, scripted_gateway: ScriptedGateway, request: pytest.FixtureRequest
) -> None:
    header, ann, *_ = list_of(ANN).splitlines()
    text = f"{header},caller_number,ticket\n{ann},support-desk,INC-1234\n"
    made = await call_list(user, request.node.name, text, scripted_gateway.url)
    await made.minute()
    (sent,) = scripted_gateway.requests
    (row,) = await made.rows()
    key = f"GatewayCallList5-{row['id']}-1-{row['called_at']}-{ANN}"
    assert sent.body == {
        "destination": ANN,
        "account_code": "em-tech-01",
        "caller_number": "support-desk",
        "agent_name": "",
        "metadata": {"name": "Person 0", "ticket": "INC-1234", "row": row["id"], "attempt": 1},
        "wait": "none",
        "idempotency_key": key,
    }


@pytest.mark.parametrize(
    "response",
    [
        Response(429, {"error": "too_many_calls", "message": "full"}, {"Retry-After": "60"}),
        Response(503, {"error": "no_agent", "message": "no agent"}, {"Retry-After": "60"}),
        refused(401, "unauthorized", "no such key"),
    ],
)
async def test_nobody_is_called_before_the_gateway_takes_calls_again(
    response: Response, scripted: CallList, scripted_gateway: ScriptedGateway
) -> None:
    scripted_gateway.script(accepted(), response, accepted())
    await scripted.minute()
    await scripted.minute()
    assert called(scripted_gateway) == [ANN, BOB]
    assert await scripted.outcomes() == [("calling", "1"), ("postponed", ""), ("", "")]
    row = (await scripted.rows())[1]
    assert isinstance(response.body, dict)
    assert row["message"] == response.body["message"]
    wait = datetime.fromisoformat(row["next_attempt_at"]) - datetime.now(UTC)
    assert timedelta(seconds=20) < wait <= timedelta(seconds=60)
    await scripted.edit(row, next_attempt_at=datetime.now(UTC).isoformat())
    await scripted.minute()
    assert called(scripted_gateway) == [ANN, BOB, BOB, CAROL]
    assert await scripted.outcomes() == [("calling", "1")] * 3


async def test_an_error_of_one_row_concerns_that_row(
    scripted: CallList, scripted_gateway: ScriptedGateway
) -> None:
    details = {"destination": ["Must be a number."]}
    wrong = refused(422, "invalid", "no", details=details)
    scripted_gateway.script(accepted(), wrong, accepted())
    await scripted.minute()
    expected = [("calling", "1"), ("not dispatched", "1"), ("calling", "1")]
    assert await scripted.outcomes() == expected
    assert (await scripted.rows())[1]["message"] == 'no {"destination":["Must be a number."]}'


@pytest.mark.parametrize("response", [Drop(), Response(502, "<html>Bad Gateway</html>")])
async def test_a_request_without_a_response_is_repeated_with_its_key(
    response: Drop | Response, scripted: CallList, scripted_gateway: ScriptedGateway
) -> None:
    scripted_gateway.script(response, accepted())
    await scripted.minute()
    assert await scripted.outcomes() == [("postponed", "1"), ("", ""), ("", "")]
    row = (await scripted.rows())[0]
    assert row["message"].startswith("no usable response from the gateway: ")
    await scripted.edit(row, next_attempt_at=datetime.now(UTC).isoformat())
    await scripted.minute()
    first, second, *_ = scripted_gateway.requests
    assert first.body == second.body
    assert await scripted.outcomes() == [("calling", "1")] * 3


async def test_n8n_that_stopped_in_the_middle_repeats_the_request(
    scripted: CallList, scripted_gateway: ScriptedGateway
) -> None:
    """Another execution that dispatches right now is left alone for five minutes."""
    await scripted.minute()
    rows = await scripted.rows()
    first = scripted_gateway.requests[0].body
    await scripted.edit(rows[0], call_id="")
    await scripted.edit(rows[1], outcome="")
    await scripted.minute()
    assert len(scripted_gateway.requests) == 3
    ago = datetime.now(UTC) - timedelta(minutes=6)
    await scripted.edit(rows[0], called_at=f"{ago:%Y-%m-%dT%H:%M}Z")
    await scripted.minute()
    repeated = scripted_gateway.requests[3].body
    assert {**repeated, "idempotency_key": first["idempotency_key"]} == first
    assert f"{ago:%Y-%m-%dT%H:%M}Z" in repeated["idempotency_key"]
    await scripted.edit(rows[0], call_id="", called_at="2026-01-01T00:00Z")
    await scripted.minute()
    assert (await scripted.outcomes())[0] == ("unknown", "1")


async def test_a_call_that_the_gateway_has_forgotten_is_unknown(
    user: User, gateway: Client, gateway_url: str, request: pytest.FixtureRequest
) -> None:
    made = await call_list(user, request.node.name, list_of(ANN), gateway_url)
    (row,) = await made.rows()
    await made.edit(row, outcome="calling", attempts="1", call_id="outbound-0000000000")
    await made.minute()
    assert await made.outcomes() == [("unknown", "1")]


async def test_an_active_list_goes_on_by_itself(
    user: User,
    gateway: Client,
    gateway_url: str,
    fake_livekit: FakeLiveKit,
    request: pytest.FixtureRequest,
) -> None:
    fake_livekit.callees[ANN] = Callee(sip=(486, "Busy Here"))
    fake_livekit.callees[BOB] = Callee(sip=(404, "Not Found"))
    made = await call_list(user, request.node.name, list_of(ANN, BOB), gateway_url)
    trigger = node_of(made.workflow, "Every minute")["parameters"]
    trigger["rule"]["interval"] = [{"field": "seconds", "secondsInterval": 1}]

    async def are_called() -> bool | None:
        return await made.outcomes() == [("busy", "2"), ("failed", "1")] or None

    await user.editor.activate(made.workflow)
    try:
        await eventually(are_called)
    finally:
        await user.editor.deactivate(made.workflow)
    assert len((await list_calls(gateway, "?include=ended"))["calls"]) == 3
