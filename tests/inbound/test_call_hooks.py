"""Call hooks: repeated, of answered callers, of calls that Jambonz itself makes; their headers."""

import asyncio
import json
from typing import Any

import pytest
from livekit.protocol.room import CreateRoomRequest

from gateway.api.services import SERVICES
from gateway.calls.call import Event, EventKind
from gateway.config.loader import build_config
from gateway.errors import ConfigError, StorageUnavailable
from tests.conftest import Client, GatewayStarter, get_call, jambonz_for, list_calls
from tests.fakes.livekit import FakeLiveKit, TwirpError
from tests.jambonz.schemas import assert_valid_verbs

FALLBACK = {"fallback": [{"phone": "+15550123"}]}
REFUSED = TwirpError(403, "permission_denied", "no")


async def happen(gateway: Client, call_id: str, *kinds: EventKind, at: int | None = None) -> None:
    assert gateway.app
    services = gateway.app[SERVICES]
    for kind in kinds:
        await services.lifecycle.apply(call_id, Event(kind, at or services.clock()))


@pytest.mark.field("C2")
async def test_without_livekit_an_answered_caller_is_hung_up(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.failures.append(REFUSED)
    verbs = await jambonz_for(gateway).redirects()
    assert_valid_verbs(verbs)
    assert verbs == [{"verb": "hangup"}]


@pytest.mark.field("C2")
async def test_without_storage_an_answered_caller_is_hung_up(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gateway.app

    async def unavailable(*_: Any, **__: Any) -> Any:
        raise StorageUnavailable("Redis does not answer")

    monkeypatch.setattr(gateway.app[SERVICES].storage.registry, "add", unavailable)
    assert await jambonz_for(gateway).redirects() == [{"verb": "hangup"}]


@pytest.mark.field("C2")
async def test_above_max_active_calls_an_answered_caller_is_hung_up(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(limits={"max_active_calls": 1})
    assert (await jambonz_for(gateway).redirects())[0]["verb"] == "dial"
    assert await jambonz_for(gateway).redirects() == [{"verb": "hangup"}]


@pytest.mark.field("C2")
async def test_a_caller_who_is_brought_back_gets_a_new_call(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(inbound=FALLBACK)
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    first = dial["headers"]["X-Call-Id"]
    await jambonz.far_status("in-progress")
    # A late repetition of a hook must not end a call that goes on.
    assert await jambonz.redirects() == [dial]
    await happen(gateway, first, EventKind.AGENT_FAILED)
    (again,) = await jambonz.redirects()
    second = again["headers"]["X-Call-Id"]
    assert first != second
    # A repeated hook gets the same call.
    assert await jambonz.redirects() == [again]
    # What Jambonz still has to say about the first dial does not concern the second call.
    await jambonz.dial_ends(dial["actionHook"], "in-progress", "completed", 200)
    assert (await get_call(gateway, second))["call_status"] == "registered"
    await jambonz.far_status("in-progress")
    assert (await get_call(gateway, second))["call_status"] == "ongoing"
    await jambonz.status("completed", call_termination_by="caller", duration=60)
    assert (await get_call(gateway, second))["disconnection_reason"] == "user_hangup"


@pytest.mark.field("C2")
async def test_the_agents_answer_counts_for_a_caller_who_was_answered_before(
    gateway: Client,
) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.redirects()
    call_id = dial["headers"]["X-Call-Id"]
    await jambonz.status("in-progress")  # late
    assert (await get_call(gateway, call_id))["call_status"] == "registered"
    await jambonz.status("completed", call_termination_by="caller", duration=60)
    call = await get_call(gateway, call_id)
    assert (call["call_status"], call["duration_ms"]) == ("not_connected", 0)


@pytest.mark.field("C3")
@pytest.mark.parametrize("agent_first", [True, False])
async def test_without_status_hooks_talking_begins_when_both_are_there(
    gateway: Client, agent_first: bool
) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    started = (await get_call(gateway, call_id))["start_timestamp"]
    kinds = (EventKind.AGENT_JOINED, EventKind.CALLER_JOINED)
    for later, kind in enumerate(kinds if agent_first else reversed(kinds)):
        await happen(gateway, call_id, kind, at=started - 9_000 + later * 1_000)
    await jambonz.dial_ends(dial["actionHook"], "completed", "completed", 200)
    call = await get_call(gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
    # It began 8 s before the hook: a call is not answered before its hook, whose clock differs.
    assert call["answer_timestamp"] == started
    assert call["duration_ms"] == call["end_timestamp"] - started


@pytest.mark.field("C3")
async def test_without_status_hooks_the_talk_has_a_duration(gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    started = (await get_call(gateway, call_id))["start_timestamp"]
    await happen(gateway, call_id, EventKind.AGENT_JOINED, EventKind.CALLER_JOINED, at=started + 1)
    async with asyncio.timeout(10):
        assert gateway.app
        while gateway.app[SERVICES].clock() < started + 20:
            await asyncio.sleep(0.01)
    await jambonz.dial_ends(dial["actionHook"], "in-progress", "completed", 200)
    call = await get_call(gateway, call_id)
    assert call["answer_timestamp"] == started + 1
    assert call["duration_ms"] >= 19


@pytest.mark.field("C5")
async def test_hooks_at_once_get_the_same_verbs_if_the_first_fails(
    start_gateway: GatewayStarter, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start_gateway(inbound=FALLBACK)
    assert gateway.app

    async def unavailable(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(0.05)
        raise StorageUnavailable("Redis does not answer")

    monkeypatch.setattr(gateway.app[SERVICES].storage.registry, "add", unavailable)
    jambonz = jambonz_for(gateway)
    first, *repeated = await asyncio.gather(*(jambonz.call_arrives() for _ in range(5)))
    assert first[0]["target"] == [{"type": "phone", "number": "+15550123"}]
    assert repeated == [first] * 4


@pytest.mark.field("C5")
async def test_hooks_at_once_get_the_same_verbs_if_livekit_refuses(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(inbound=FALLBACK)
    fake_livekit.failures.append(REFUSED)
    jambonz = jambonz_for(gateway)
    first, *repeated = await asyncio.gather(*(jambonz.call_arrives() for _ in range(5)))
    assert first[0]["target"] == [{"type": "phone", "number": "+15550123"}]
    assert repeated == [first] * 4
    assert len(fake_livekit.requested(CreateRoomRequest)) == 1


@pytest.mark.field("C5")
async def test_an_unforeseen_error_is_a_500_for_every_repeated_hook(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gateway.app

    async def broken(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(0.05)
        raise ZeroDivisionError

    monkeypatch.setattr(gateway.app[SERVICES].storage.registry, "add", broken)
    jambonz = jambonz_for(gateway)
    answers = await asyncio.gather(
        *(jambonz.call_arrives() for _ in range(3)), return_exceptions=True
    )
    assert all("answered 500" in str(answer) for answer in answers), answers


@pytest.mark.field("C9")
async def test_a_callers_own_headers_choose_no_agent(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    jambonz = jambonz_for(gateway)
    jambonz.headers = {"X-Agent-Name": "sales", "X-Account-Code": "em-01"}
    await jambonz.call_arrives()
    (call,) = (await list_calls(gateway))["calls"]
    assert (call["agent_name"], call["account_code"]) == ("nehos-outbound-agent", "")
    assert "em-01" not in str(fake_livekit.requests)


@pytest.mark.field("C9")
async def test_trusted_headers_choose_where_the_portal_does_not(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(inbound={"trusted_headers": ["X-Account-Code", "X-Agent-Name"]})
    jambonz = jambonz_for(gateway)
    jambonz.headers = {"x-agent-name": "other", "X-ACCOUNT-CODE": "em-01"}
    jambonz.env_vars = {"AGENT_NAME": "sales"}
    await jambonz.call_arrives()
    (call,) = (await list_calls(gateway))["calls"]
    assert (call["agent_name"], call["account_code"]) == ("sales", "em-01")


@pytest.mark.field("C9")
def test_only_headers_that_choose_something_can_be_trusted() -> None:
    with pytest.raises(ConfigError, match="X-Agent-Name, X-Account-Code"):
        build_config({"inbound": {"trusted_headers": ["X-Agent"]}}, {})


@pytest.mark.field("C10")
async def test_a_call_that_jambonz_makes_is_outbound_for_the_agent(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    jambonz = jambonz_for(gateway, from_number="+15550199", to_number="+61491570156")
    jambonz.direction = "outbound"
    (dial,) = await jambonz.redirects()  # its hook comes once the callee has answered
    assert_valid_verbs([dial])
    (room,) = fake_livekit.requested(CreateRoomRequest)
    job = json.loads(room.agents[0].metadata)
    assert (job["destination"], job["caller_number"]) == ("+61491570156", "+15550199")
    assert job["gateway"]["direction"] == "outbound"
    assert (job["gateway"]["from_number"], job["gateway"]["to_number"]) == (
        "+15550199",
        "+61491570156",
    )
    # LiveKit shows the agent whom it talks to, not the number that was shown to them.
    assert dial["callerId"] == "+61491570156"
    (call,) = (await list_calls(gateway, "?direction=outbound"))["calls"]
    await jambonz.status("completed", call_termination_by="caller", duration=1)
    ended = await get_call(gateway, call["call_id"])
    assert ended["disconnection_reason"] == "user_hangup"


@pytest.mark.field("C10")
async def test_without_an_agent_the_callee_of_a_call_that_jambonz_makes_gets_the_fallback(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.workers.clear()
    gateway = await start_gateway(
        inbound={**FALLBACK, "agent_timeout": 0.1}, monitor={"interval": 0.05}
    )
    jambonz = jambonz_for(gateway)
    jambonz.direction = "outbound"
    (dial,) = await jambonz.redirects()
    async with asyncio.timeout(10):
        while (await list_calls(gateway))["active"]:
            await asyncio.sleep(0.01)
    verbs = await jambonz.dial_ends(dial["actionHook"], "in-progress", "busy", 486)
    assert verbs[0]["target"] == [{"type": "phone", "number": "+15550123"}]


@pytest.mark.field("C11")
async def test_agent_and_api_learn_who_calls_and_who_diverted(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    jambonz = jambonz_for(gateway, from_number="anonymous")
    jambonz.headers = {
        "p-asserted-identity": '"Zoë" <sip:+61491570006@carrier.example.com>',
        "Diversion": "<tel:+61255501234>;reason=no-answer",
    }
    await jambonz.call_arrives()
    (room,) = fake_livekit.requested(CreateRoomRequest)
    job = json.loads(room.agents[0].metadata)
    assert job["caller_number"] == "anonymous"
    assert job["asserted_identity"] == "+61491570006"
    assert (job["diversion"], job["diversion_reason"]) == ("+61255501234", "no-answer")
    call = await get_call(gateway, room.name)
    assert (call["asserted_identity"], call["diversion"]) == ("+61491570006", "+61255501234")


@pytest.mark.field("C11")
async def test_headers_of_any_length_are_bounded(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    jambonz = jambonz_for(gateway)
    jambonz.headers = {
        "p-asserted-identity": f"<sip:{'a' * 9_000}@example.com>",
        "Diversion": f"<sip:{'b' * 1_000}@example.com>;reason={'c' * 900}",
        "history-info": "<" * 9_000,
    }
    await jambonz.call_arrives()
    (room,) = fake_livekit.requested(CreateRoomRequest)
    job = json.loads(room.agents[0].metadata)
    for name in ("asserted_identity", "diversion", "diversion_reason"):
        assert len(job.get(name, "")) <= 300, name
