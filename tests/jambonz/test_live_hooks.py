"""What a live Jambonz posted: valid by the vendor's schemas, and understood by the gateway."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo

from tests.conftest import Client, GatewayStarter, shown
from tests.fakes.livekit import FakeLiveKit
from tests.jambonz.replay import NAMES, LiveRequest, Replay, captured
from tests.jambonz.schemas import assert_valid_verbs, hook_errors

AGENT, SIP = ParticipantInfo.Kind.AGENT, ParticipantInfo.Kind.SIP
NO_ANSWER = {"fallback": [{"say": "Please call again later."}]}
DESK = {"fallback": [{"phone": "+15550107"}]}
#: Settings of a gateway whose agent does not join: it gives the agent up soon.
NO_AGENT = {"agent_timeout": 1.0}
#: The `inbound` settings of each capture, where they are not the defaults.
INBOUND: dict[str, dict[str, Any]] = {
    "participant-no-agent": {**DESK, **NO_AGENT},
    "room-fallback-rings-out": {**DESK, **NO_AGENT},
    "room-fallback-say": {**NO_ANSWER, **NO_AGENT},
    "room-no-agent-fallback": {**DESK, **NO_AGENT},
    "room-transfer-busy": DESK,
}
#: How each call stands after its last hook: status and disconnection reason.
OUTCOMES = {
    "participant": ("ended", "user_hangup"),
    "participant-agent-refers": ("ended", "user_hangup"),
    "participant-caller-gone": ("not_connected", "user_hangup"),
    "participant-no-agent": ("error", "no_agent"),
    "participant-transfer": ("ended", "call_transfer"),
    "room-agent-dies": ("ended", "agent_hangup"),
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


def test_every_hook_is_valid_by_the_schemas_of_jambonz() -> None:
    hooks = [request for name in NAMES for request in captured(name) if request.hook]
    assert len(hooks) == 167
    for request in hooks:
        assert hook_errors(request.hook, request.body) == []


async def gateway_for(name: str, start_gateway: GatewayStarter) -> Client:
    strategy = "participant" if name.startswith("participant") else "room"
    return await start_gateway(
        monitor={"interval": 0.05},
        transfer={"allowed": ["+61*"]},
        inbound={"strategy": strategy, **INBOUND.get(name, {})},
    )


async def until(gateway: Client, call_id: str, *statuses: str) -> None:
    async with asyncio.timeout(10):
        while (await shown(gateway, call_id))["call_status"] not in statuses:
            await asyncio.sleep(0.01)


class Capture:
    """A call that is replayed in its order, with what LiveKit did between Jambonz's hooks."""

    def __init__(self, name: str, gateway: Client, livekit: FakeLiveKit) -> None:
        self.name = name
        self.gateway = gateway
        self.livekit = livekit
        self.requests = [each for each in captured(name) if each.changes_the_call]
        self.replay = Replay(gateway, self.requests)

    async def play(self) -> dict[str, Any]:
        """Every answer has the verbs that a live Jambonz carried out; the call at the end."""
        for number, request in enumerate(self.requests):
            await self._wait_for_livekit(request)
            status, answer = await self.replay.post(request)
            if number == 0:
                self._agent_joins()
            assert status == request.answer["status"], (request.uri, answer)
            if request.hook and status == 200:
                assert verbs_of(answer) == verbs_of(request.answer["body"]), request.uri
                if answer:
                    assert_valid_verbs(answer)
        return await shown(self.gateway, self.replay.call_id)

    def _agent_joins(self) -> None:
        if "agent_timeout" not in INBOUND.get(self.name, {}) and "caller-gone" not in self.name:
            self.livekit.present(self.replay.call_id, AGENT, "agent-AJ_1")
            self.livekit.present(self.replay.call_id, SIP, "sip_caller")

    async def _wait_for_livekit(self, request: LiveRequest) -> None:
        """Until the gateway knows what it knew when the live call got this far."""
        call_id, answer = self.replay.call_id, verbs_of(request.answer["body"])
        if not call_id:
            return
        if "agent_timeout" in INBOUND.get(self.name, {}):
            if answer and answer != ["play"]:
                await until(self.gateway, call_id, "error")
        elif answer == ["dequeue"] or request.uri.endswith("/transfer"):
            await until(self.gateway, call_id, "ongoing")


def verbs_of(answer: Any) -> list[str]:
    """The names of the verbs, [] for any other answer."""
    return [each["verb"] for each in answer] if isinstance(answer, list) else []


@pytest.mark.parametrize("name", NAMES)
async def test_a_live_call_ends_as_it_did(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, name: str
) -> None:
    gateway = await gateway_for(name, start_gateway)
    call = await Capture(name, gateway, fake_livekit).play()
    assert (call["call_status"], call["disconnection_reason"]) == OUTCOMES[name]


@pytest.mark.parametrize("name", NAMES)
async def test_hooks_are_understood_in_any_order(start_gateway: GatewayStarter, name: str) -> None:
    gateway = await gateway_for(name, start_gateway)
    first, *others = [request for request in captured(name) if request.hook]
    replay = Replay(gateway, [first])
    await replay.post(first)
    for request in shuffled(others, seed=name):
        status, answer = await replay.post(request)
        assert status in {200, 204} or request.hook == "/livekit-api/refer", (request.uri, answer)
        assert status < 500
        if request.hook != "/livekit-api/refer" and answer:
            assert_valid_verbs(answer)


def shuffled(requests: Sequence[LiveRequest], *, seed: str) -> Sequence[LiveRequest]:
    return random.Random(seed).sample(requests, len(requests))  # noqa: S311 - no secret
