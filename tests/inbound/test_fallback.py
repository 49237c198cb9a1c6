"""Who gets the fallback, and with which SIP status a caller is refused."""

from typing import Any

import pytest

from gateway.api.services import SERVICES
from gateway.calls.call import Event, EventKind
from gateway.calls.reasons import DisconnectionReason
from gateway.tools.simulate.jambonz import Jambonz
from tests.api.test_livekit import tell
from tests.conftest import DISPATCH_KEY, Client, GatewayStarter, get_call, jambonz_for
from tests.jambonz.schemas import assert_valid_verbs

DESK = {"phone": "+15550123"}
DIALS_DESK = [{"type": "phone", "number": "+15550123"}]


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(inbound={"fallback": [DESK]})


class Caller:
    """A caller whom Jambonz connects with an agent."""

    def __init__(self, gateway: Client, jambonz: Jambonz, dial: dict[str, Any]) -> None:
        self.gateway = gateway
        self.jambonz = jambonz
        self.dial = dial
        self.call_id: str = dial["headers"]["X-Call-Id"]

    async def answered(self) -> None:
        await self.jambonz.far_status("in-progress")
        await self.jambonz.status("in-progress")

    async def happens(self, kind: EventKind, reason: DisconnectionReason | None = None) -> None:
        assert self.gateway.app
        services = self.gateway.app[SERVICES]
        event = Event(kind, services.clock(), reason=reason)
        await services.lifecycle.apply(self.call_id, event)

    async def dial_ends(self, *outcome: Any) -> list[dict[str, Any]]:
        verbs = await self.jambonz.dial_ends(self.dial["actionHook"], *outcome)
        if verbs:
            assert_valid_verbs(verbs)
        return verbs

    async def hangup_by_client(self) -> None:
        url = f"/livekit-api/calls/{self.call_id}/hangup"
        async with self.gateway.post(url, headers={"X-API-Key": DISPATCH_KEY}) as response:
            assert response.status == 200, await response.text()

    async def outcome(self) -> tuple[str, str]:
        call = await get_call(self.gateway, self.call_id)
        return call["call_status"], call["disconnection_reason"]


async def calling(gateway: Client) -> Caller:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    return Caller(gateway, jambonz, dial)


@pytest.mark.parametrize(
    ("reason", "targets"),
    [("agent_error", DIALS_DESK), ("agent_hangup", None), ("inactivity", None)],
)
async def test_only_an_agent_that_failed_leaves_its_caller_to_the_fallback(
    gateway: Client, reason: str, targets: Any
) -> None:
    caller = await calling(gateway)
    await caller.answered()
    await tell(gateway, caller.call_id, "agent_ended", disconnection_reason=reason)
    verbs = await caller.dial_ends("in-progress", "completed", 200)
    assert [verb["target"] for verb in verbs] == ([targets] if targets else [])


@pytest.mark.field("J2")
@pytest.mark.parametrize("kind", [EventKind.AGENT_FAILED, EventKind.AGENT_LEFT])
async def test_a_caller_whose_agent_fails_in_the_call_gets_the_fallback(
    gateway: Client, kind: EventKind
) -> None:
    """Also if LiveKit has told of the agent's death, and nobody yet of what follows."""
    caller = await calling(gateway)
    await caller.answered()
    await caller.happens(kind, DisconnectionReason.AGENT_ERROR)
    (dial,) = await caller.dial_ends("in-progress", "completed", 200)
    assert dial["target"] == DIALS_DESK
    assert await caller.outcome() == ("error", "agent_error")
    # Jambonz repeats a hook whose answer was lost.
    assert await caller.dial_ends("in-progress", "completed", 200) == [dial]
    # The caller has talked to the desk: that is the end.
    ended = await caller.jambonz.dial_ends(dial["actionHook"], "in-progress", "completed", 200)
    assert ended == []


@pytest.mark.field("J2")
@pytest.mark.parametrize("outcome", [("completed", "completed", 200), ("in-progress", "busy", 486)])
async def test_a_failed_agent_does_not_change_what_else_ends_a_call(
    gateway: Client, outcome: tuple[str, str, int]
) -> None:
    caller = await calling(gateway)
    await caller.answered()
    await caller.happens(EventKind.AGENT_FAILED, DisconnectionReason.AGENT_ERROR)
    (dial,) = await caller.dial_ends("in-progress", "completed", 200)
    verbs = await caller.jambonz.dial_ends(dial["actionHook"], *outcome)
    # The desk was the last target, and an answered caller can only be hung up.
    assert verbs == ([] if outcome[0] == "completed" else [{"verb": "hangup"}])


@pytest.mark.field("J2")
async def test_a_caller_whose_agent_hung_up_gets_no_fallback(gateway: Client) -> None:
    caller = await calling(gateway)
    await caller.answered()
    await caller.happens(EventKind.AGENT_LEFT, DisconnectionReason.AGENT_HANGUP)
    assert await caller.dial_ends("in-progress", "completed", 200) == []
    assert await caller.outcome() == ("ended", "agent_hangup")


@pytest.mark.field("J2")
async def test_without_a_fallback_a_caller_whose_agent_failed_is_hung_up(
    start_gateway: GatewayStarter,
) -> None:
    caller = await calling(await start_gateway())
    await caller.answered()
    await caller.happens(EventKind.AGENT_FAILED, DisconnectionReason.AGENT_ERROR)
    assert await caller.dial_ends("in-progress", "completed", 200) == [{"verb": "hangup"}]


@pytest.mark.field("J4")
async def test_a_caller_whose_fallback_rings_out_gets_480(gateway: Client) -> None:
    caller = await calling(gateway)
    (dial,) = await caller.dial_ends("trying", "busy", 486)
    (decline,) = await caller.jambonz.dial_ends(dial["actionHook"], "trying", "no-answer", 487)
    assert (decline["verb"], decline["status"]) == ("sip:decline", 480)


@pytest.mark.field("C6")
@pytest.mark.parametrize("dial_status", [("busy", 486), ("failed", 503)])
async def test_a_ringing_caller_on_whom_a_client_hangs_up_is_declined(
    gateway: Client, dial_status: tuple[str, int]
) -> None:
    caller = await calling(gateway)
    await caller.jambonz.far_status("ringing", 180)
    await caller.hangup_by_client()
    (decline,) = await caller.dial_ends("trying", *dial_status)
    assert (decline["verb"], decline["status"]) == ("sip:decline", 603)
    assert await caller.outcome() == ("not_connected", "manual_stopped")
    # So is one whose call hook comes again.
    assert await caller.jambonz.call_arrives() == [decline]


@pytest.mark.field("C6")
async def test_an_answered_caller_on_whom_a_client_hangs_up_gets_no_fallback(
    gateway: Client,
) -> None:
    caller = await calling(gateway)
    await caller.answered()
    await caller.hangup_by_client()
    assert await caller.dial_ends("in-progress", "completed", 200) == []


@pytest.mark.field("C6")
async def test_a_transferred_caller_on_whom_a_client_hangs_up_gets_no_fallback(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(inbound={"fallback": [DESK]}, transfer={"allowed": ["+61*"]})
    caller = await calling(gateway)
    await caller.answered()
    dial, _ = await caller.jambonz.refers(caller.dial["referHook"], "<tel:+61491570156>")
    await caller.hangup_by_client()
    verbs = await caller.jambonz.dial_ends(dial["actionHook"], "in-progress", "no-answer", 487)
    assert verbs == [{"verb": "hangup"}]
