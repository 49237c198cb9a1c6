"""Hooks of a live Jambonz: valid by its schemas, and understood in their order and in any other."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo

from gateway.api.services import SERVICES
from gateway.calls.call import Event, EventKind
from gateway.jambonz import urls
from tests.conftest import Client, GatewayStarter, get_call
from tests.fakes.livekit import FakeLiveKit
from tests.jambonz.replay import (
    NAMES,
    LiveRequest,
    Replay,
    live_requests,
    verb_names,
    with_late_status_hooks,
)
from tests.jambonz.schemas import assert_valid_hook, assert_valid_verbs

AGENT, SIP = ParticipantInfo.Kind.AGENT, ParticipantInfo.Kind.SIP
DESK = [{"phone": "+15550107"}]
#: The fallback of the gateway that each call was recorded with, where it had one.
FALLBACKS = {
    "room-agent-dies": DESK,
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
    "room-agent-dies": ("error", "agent_error"),
    "room-agent-hangs-up": ("ended", "manual_stopped"),
    "room-caller-gives-up": ("not_connected", "user_hangup"),
    "room-digest-trunk": ("ended", "user_hangup"),
    "room-fallback-rings-out": ("error", "no_agent"),
    "room-fallback-say": ("error", "no_agent"),
    "room-no-agent-fallback": ("error", "no_agent"),
    "room-refer-refused": ("ongoing", None),
    "room-transfer": ("ended", "call_transfer"),
    "room-transfer-busy": ("ended", "call_transfer"),
    "websocket": ("ended", "user_hangup"),
}
#: Verbs that the gateway which was recorded got wrong, by the call and the request.
RIGHT_VERBS: dict[tuple[str, str], Sequence[str]] = {
    # A fallback takes the caller whose agent died.
    ("room-agent-dies", "/livekit-api/dial-action?fallback=0"): ["dial"],
}
#: What Jambonz answers a REFER with if the gateway does not transfer the call.
REFER_REFUSED = {400, 403, 404, 409}


def test_every_hook_is_valid_by_jambonzs_schemas() -> None:
    hooks = [request for name in NAMES for request in live_requests(name) if request.hook]
    assert len(hooks) == 167
    for request in hooks:
        assert_valid_hook(request.hook, request.body)


def test_every_recording_is_replayed() -> None:
    assert sorted(OUTCOMES) == NAMES


@pytest.mark.field("J2", "J4")
@pytest.mark.parametrize("name", NAMES)
async def test_a_replayed_call_gets_the_right_verbs_and_ends_as_it_did(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, name: str
) -> None:
    call = LiveCall(name, await gateway_for(name, start_gateway), fake_livekit)
    for request in call.requests:
        answer = await call.post(request)
        if request.hook:
            right = RIGHT_VERBS.get((name, request.uri), request.recorded_verbs)
            assert verb_names(answer) == right, request.uri
            if request.recorded_verbs == ["sip:decline"]:
                assert answer[0]["status"] == 480, "487 is for callers who have cancelled"
    assert await call.outcome() == OUTCOMES[name]


@pytest.mark.parametrize("name", NAMES)
async def test_a_call_whose_hooks_are_all_repeated_gets_the_same_answers_and_end(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, name: str
) -> None:
    call = LiveCall(name, await gateway_for(name, start_gateway), fake_livekit)
    for request in call.requests:
        answer = await call.post(request)
        if request.hook:
            assert await call.repeat(request) == answer, request.uri
    assert await call.outcome() == OUTCOMES[name]


@pytest.mark.parametrize("delivery", ["late", "shuffled 1", "shuffled 2", "shuffled 3"])
@pytest.mark.parametrize("name", NAMES)
async def test_a_call_ends_as_it_did_however_late_its_status_hooks_come(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, name: str, delivery: str
) -> None:
    call = LiveCall(name, await gateway_for(name, start_gateway), fake_livekit)
    if delivery == "late":  # all come after all else, in their order
        requests = sorted(call.requests, key=lambda each: each.hook == urls.CALL_STATUS_HOOK)
    else:
        seed = random.Random(f"{name} {delivery}")  # noqa: S311 - a seed repeats the order
        requests = list(with_late_status_hooks(call.requests, seed, lateness=8))
    for request in requests:
        await call.post(request)
    assert await call.outcome() == OUTCOMES[name]


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
        answer = await self.repeat(request)
        if request is self.requests[0]:
            self._participants_join()
        return answer

    async def repeat(self, request: LiveRequest) -> Any:
        """Post `request` once more, with nothing between; returns the answer."""
        status, answer = await self._replay.post(request)
        assert status == request.recorded_status, (request.uri, answer)
        if request.hook and status < 400:
            assert_understood(request, status, answer)
        return answer

    async def get_call(self) -> dict[str, Any]:
        return await get_call(self._gateway, self._replay.call_id)

    async def outcome(self) -> tuple[str, str | None]:
        """The call's status and its disconnection reason."""
        call = await self.get_call()
        return call["call_status"], call["disconnection_reason"]

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
                await self._happens(EventKind.NO_AGENT)
        elif self._name == "room-agent-dies" and request.hook == urls.DIAL_ACTION:
            await self._happens(EventKind.AGENT_FAILED)
        elif "dequeue" in verbs:
            await self._ongoing()
        elif not request.hook:
            await self._happens(EventKind.ANSWERED)  # as the agent has seen it

    async def _happens(self, kind: EventKind) -> None:
        assert self._gateway.app
        services = self._gateway.app[SERVICES]
        await services.lifecycle.apply(self._replay.call_id, Event(kind, services.clock()))

    async def _ongoing(self) -> None:
        async with asyncio.timeout(10):
            while (await self.get_call())["call_status"] != "ongoing":
                await asyncio.sleep(0.01)
