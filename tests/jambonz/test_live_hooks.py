"""Hooks of a live Jambonz: valid by its schemas, and understood in their order and in any other."""

import asyncio
import random
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo

from gateway.api.services import SERVICES
from gateway.calls.call import CallStatus, Event, EventKind
from gateway.jambonz import urls
from tests.conftest import Client, GatewayStarter, get_call
from tests.fakes.livekit import FakeLiveKit
from tests.jambonz.replay import NAMES, LiveRequest, Replay, live_requests, verb_names
from tests.jambonz.schemas import assert_valid_hook, assert_valid_verbs

AGENT, SIP = ParticipantInfo.Kind.AGENT, ParticipantInfo.Kind.SIP
DESK = [{"phone": "+15550107"}]
#: The fallback of the gateway that each call was recorded with, where it had one.
FALLBACKS = {
    "participant-no-agent": DESK,
    "room-fallback-rings-out": DESK,
    "room-fallback-say": [{"say": "Please call again later."}],
    "room-no-agent-fallback": DESK,
    "room-transfer-busy": DESK,
}
#: The calls that no agent joined.
WITHOUT_AGENT = {
    "participant-no-agent",
    "room-fallback-rings-out",
    "room-fallback-say",
    "room-no-agent-fallback",
}
#: The call's status and disconnection reason after its last hook.
OUTCOMES = {
    "participant": ("ended", "user_hangup"),
    "participant-agent-refers": ("ended", "user_hangup"),
    "participant-caller-gone": ("not_connected", "user_hangup"),
    "participant-no-agent": ("error", "no_agent"),
    "participant-transfer": ("ended", "call_transfer"),
    "room-agent-hangs-up": ("ended", "manual_stopped"),
    "room-caller-gives-up": ("not_connected", "user_hangup"),
    "room-digest-trunk": ("ended", "user_hangup"),
    "room-fallback-say": ("error", "no_agent"),
    "room-refer-refused": ("ongoing", None),
    "room-transfer": ("ended", "call_transfer"),
    "room-transfer-busy": ("ended", "call_transfer"),
    "websocket": ("ended", "user_hangup"),
}
#: Recordings whose answers are not the right ones, so that only their hooks are replayed.
WRONG_ANSWERS = {
    "room-agent-dies": "the caller is hung up on, although a fallback could take the call",
    "room-fallback-rings-out": "the caller, who did not cancel, gets SIP 487 instead of 480",
    "room-no-agent-fallback": "the caller hears silence while the room and the fallback ring",
}
#: What Jambonz answers a REFER with if the gateway does not transfer the call.
REFER_REFUSED = {400, 403, 404, 409}


def test_every_hook_is_valid_by_jambonzs_schemas() -> None:
    hooks = [request for name in NAMES for request in live_requests(name) if request.hook]
    assert len(hooks) == 167
    for request in hooks:
        assert_valid_hook(request.hook, request.body)


@pytest.mark.parametrize("name", sorted(OUTCOMES))
async def test_a_replayed_call_gets_the_recorded_verbs_and_ends_as_recorded(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, name: str
) -> None:
    call = LiveCall(name, await gateway_for(name, start_gateway), fake_livekit)
    for request in call.requests:
        answer = await call.post(request)
        if request.hook:
            assert verb_names(answer) == request.recorded_verbs, request.uri
    shown_call = await call.get_call()
    assert (shown_call["call_status"], shown_call["disconnection_reason"]) == OUTCOMES[name]


@pytest.mark.parametrize("name", WRONG_ANSWERS)
async def test_a_replayed_call_with_wrong_answers_is_understood_and_ends(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, name: str
) -> None:
    call = LiveCall(name, await gateway_for(name, start_gateway), fake_livekit)
    for request in call.requests:
        await call.post(request)
    assert CallStatus((await call.get_call())["call_status"]).is_terminal


def test_every_recording_is_replayed() -> None:
    assert sorted([*OUTCOMES, *WRONG_ANSWERS]) == NAMES


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", NAMES)
async def test_hooks_are_understood_in_any_order(
    start_gateway: GatewayStarter, name: str, seed: int
) -> None:
    hooks = [request for request in live_requests(name) if request.hook]
    replay = Replay(await gateway_for(name, start_gateway), hooks)
    random.Random(f"{name} {seed}").shuffle(hooks)  # noqa: S311 - a seed repeats the order
    for request in hooks:
        status, answer = await replay.post(request)
        if request.hook == urls.REFER_HOOK and status in REFER_REFUSED:
            continue
        assert_understood(request, status, answer)


async def gateway_for(name: str, start_gateway: GatewayStarter) -> Client:
    strategy = "participant" if name.startswith("participant") else "room"
    return await start_gateway(
        monitor={"interval": 0.05},
        transfer={"allowed": ["+61*"]},
        inbound={"strategy": strategy, "fallback": FALLBACKS.get(name, [])},
    )


def assert_understood(request: LiveRequest, status: int, answer: Any) -> None:
    """The gateway answered the hook with 204, or with nothing to do or valid verbs."""
    if request.hook == urls.CALL_STATUS_HOOK:
        assert (status, answer) == (204, None), request.uri
        return
    assert status == 200, (request.uri, answer)
    if answer != []:
        assert_valid_verbs(answer)


class LiveCall:
    """A call that is replayed in order, with what LiveKit did between the hooks."""

    def __init__(self, name: str, gateway: Client, livekit: FakeLiveKit) -> None:
        self.requests = live_requests(name)
        self._name = name
        self._gateway = gateway
        self._livekit = livekit
        self._replay = Replay(gateway, self.requests)

    async def post(self, request: LiveRequest) -> Any:
        """Post `request`; returns the answer, which has the recorded status."""
        if self._replay.call_id:
            await self._catch_up(request)
        status, answer = await self._replay.post(request)
        assert status == request.recorded_status, (request.uri, answer)
        if request.hook and status < 400:
            assert_understood(request, status, answer)
        if request is self.requests[0]:
            self._participants_join()
        return answer

    async def get_call(self) -> dict[str, Any]:
        return await get_call(self._gateway, self._replay.call_id)

    def _participants_join(self) -> None:
        if self._name not in {*WITHOUT_AGENT, "participant-caller-gone"}:
            self._livekit.add_participant(self._replay.call_id, AGENT, "agent-AJ_1")
            rule = {"sip.ruleID": "SDR_1"}
            self._livekit.add_participant(self._replay.call_id, SIP, "sip_caller", rule)

    async def _catch_up(self, request: LiveRequest) -> None:
        """Let happen what had happened before Jambonz posted `request`."""
        verbs = request.recorded_verbs
        if self._name in WITHOUT_AGENT:
            if verbs and verbs != ["play"]:
                await self._agent_timeout()
        elif "dequeue" in verbs or request.uri.endswith("/transfer"):
            await self._ongoing()

    async def _agent_timeout(self) -> None:
        assert self._gateway.app
        services = self._gateway.app[SERVICES]
        event = Event(EventKind.NO_AGENT, services.clock())
        await services.lifecycle.apply(self._replay.call_id, event)

    async def _ongoing(self) -> None:
        async with asyncio.timeout(10):
            while (await self.get_call())["call_status"] != "ongoing":
                await asyncio.sleep(0.01)
