"""Inbound calls with real servers: hook, room, agent, audio both ways, end."""

import asyncio
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import RoomRequest
from gateway.livekit.tokens import caller_token
from gateway.tools.dev.processes import python
from gateway.tools.simulate.caller import RULE_ID, SAMPLE_RATE, Caller
from gateway.tools.simulate.inbound import Script, play
from gateway.tools.simulate.jambonz import Jambonz
from gateway.tools.simulate.steps import StepFailed, Steps
from tests.conftest import READ_KEY, WEBHOOK_SECRET
from tests.livekit.conftest import (
    RealServers,
    another_gateway,
    real_servers,
    wait_for_call,
)

LIMIT = 30.0


def jambonz_for(real: RealServers, http: aiohttp.ClientSession) -> Jambonz:
    return Jambonz(http, real.url, WEBHOOK_SECRET, "+15550100", "+15550199")


@asynccontextmanager
async def caller_in(
    real: RealServers, room: str, identity: str = "sip_+15550100"
) -> AsyncIterator[Caller]:
    token = caller_token(
        real.config.livekit.api_key,
        real.config.livekit.api_secret,
        room=room,
        identity=identity,
        attributes={"sip.callStatus": "active", "sip.ruleID": RULE_ID},
    )
    async with Caller.joined(real.config.livekit.url, token) as caller:
        yield caller


async def get_call(
    real: RealServers, http: aiohttp.ClientSession, call_id: str, condition: Callable[[Any], bool]
) -> Any:
    """The call, once it meets `condition`; see `wait_for_call`."""
    url = f"{real.url}/livekit-api/calls/{call_id}"
    return await wait_for_call(http, url, condition, limit=LIMIT, key=READ_KEY)


def details(call: Any) -> list[str]:
    return [entry["detail"] for entry in call["timeline"]]


def events(call: Any) -> list[str]:
    return [entry["event"] for entry in call["timeline"]]


def livekit_of(real: RealServers) -> AbstractAsyncContextManager[LiveKit]:
    settings = real.config.livekit
    return LiveKit.connected(settings.url, settings.api_key, settings.api_secret, timeout=5)


async def room_is_gone(real: RealServers, room: str) -> bool:
    async with livekit_of(real) as livekit, asyncio.timeout(LIMIT):
        while room in {it.name for it in await livekit.rooms()}:
            await asyncio.sleep(0.05)
    return True


async def test_a_call_from_its_hook_to_its_end(
    real: RealServers, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    recording = tmp_path / "heard.wav"
    steps = Steps()
    script = Script(hold=5.0, record=recording, keys="5")
    await play(real.config, real.keys, real.url, script, steps)
    assert list(steps.done) == [
        "call hook answered",
        "caller in the room",
        "B leg rings",
        "agent in the room",
        "call answered",
        "agent heard",
        "call shown as ongoing",
        "keys pressed",
        "talked",
        "hung up",
        "call shown as ended",
    ]
    assert pitch(recording, seconds=1.0) == pytest.approx(440, abs=10), "the caller's tone, echoed"
    real.worker.wait_for("job received", limit=1)
    real.worker.wait_for("Room name: call-", limit=1)
    real.worker.wait_for("key.pressed", limit=1)


def pitch(recording: Path, *, seconds: float) -> float:
    """The loudest frequency of the last `seconds`, in Hz: gaps in the audio do not change it."""
    with wave.open(str(recording)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    last = samples[-int(seconds * SAMPLE_RATE) :]
    return float(np.abs(np.fft.rfft(last)).argmax()) / seconds


async def test_the_timeline_has_the_events_of_all_parties(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    steps = Steps()
    await play(real.config, real.keys, real.url, Script(hold=0), steps)
    async with http.get(
        f"{real.url}/livekit-api/calls?include=ended&limit=1", headers={"X-API-Key": READ_KEY}
    ) as response:
        (latest,) = (await response.json())["calls"]
    call = await get_call(real, http, latest["call_id"], lambda c: "agent_left" in events(c))
    assert call["disconnection_reason"] == "user_hangup"
    assert {
        "registered",
        "room_created",
        "caller_joined",
        "agent_joined",
        "agent_ready",
        "answered",
        "agent_ended",
        "agent_left",
    } <= set(events(call))
    assert call["livekit"]["job_id"].startswith("AJ_")
    assert call["livekit"]["room_sid"].startswith("RM_")
    assert await room_is_gone(real, call["call_id"])


async def test_a_caller_who_leaves_the_room_ends_the_call(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    jambonz = jambonz_for(real, http)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with caller_in(real, call_id) as caller:
        await asyncio.wait_for(caller.agent_audio(), LIMIT)
        await jambonz.status("in-progress")
    # Jambonz sends no further hook: the gateway learns the end from LiveKit's webhook.
    call = await get_call(real, http, call_id, lambda c: c["call_status"] == "ended")
    assert call["disconnection_reason"] == "user_hangup"


async def test_a_room_created_twice_has_one_agent(real: RealServers) -> None:
    request = RoomRequest("call-twice", "{}", 30, real.config.agent.name, "{}")
    async with livekit_of(real) as livekit:
        sids = {await livekit.create_room(request) for _ in range(3)}
        assert len(sids) == 1
        dispatches = await livekit._pooled.client.agent_dispatch.list_dispatch("call-twice")
        assert len(dispatches) == 1
        await livekit.delete_room("call-twice")
        await livekit.delete_room("call-twice")  # that it does not exist is no error


async def test_a_job_ends_if_its_room_is_deleted_before_the_agent_joins(real: RealServers) -> None:
    room = "call-gone-at-once"

    async def wait_for_log(text: str) -> None:
        async with asyncio.timeout(LIMIT):
            while not any(room in line and text in line for line in real.worker.lines):
                await asyncio.sleep(0.01)

    async with livekit_of(real) as livekit:
        await livekit.create_room(RoomRequest(room, "{}", 30, real.config.agent.name, "{}"))
        await wait_for_log("job received")
        await livekit.delete_room(room)
    await wait_for_log("process exiting")


async def test_simulate_names_the_step_that_failed(real: RealServers) -> None:
    steps = Steps()
    script = Script(to_number="+15550111")
    with pytest.raises(StepFailed, match="call hook answered: POST /livekit-api answered 404"):
        await play(real.config, real.keys, f"{real.url}/nowhere", script, steps)


async def test_a_call_that_no_caller_joins_expires_and_its_room_is_deleted(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    with another_gateway(real, GATEWAY__INBOUND__REGISTERED_TIMEOUT="1") as hasty:
        (dial,) = await jambonz_for(hasty, http).call_arrives()
        call_id = dial["headers"]["X-Call-Id"]
        call = await get_call(hasty, http, call_id, lambda c: c["end_timestamp"])
        assert call["disconnection_reason"] == "registered_call_timeout"
        assert await room_is_gone(real, call_id)


@pytest.mark.parametrize("name", ["raise", "crash"])
async def test_an_agent_that_fails_ends_the_call_as_agent_error(
    failing: RealServers, http: aiohttp.ClientSession, name: str
) -> None:
    jambonz = jambonz_for(failing, http)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with caller_in(failing, call_id, identity=f"sip_{name}"):
        await jambonz.status("in-progress")
        call = await get_call(failing, http, call_id, lambda c: c["end_timestamp"])
        assert (call["call_status"], call["disconnection_reason"]) == ("error", "agent_error")
        assert await room_is_gone(failing, call_id), "the caller should be disconnected"
    detail = {"raise": "RuntimeError: no more words", "crash": "its process has ended"}[name]
    # LiveKit's webhook may end the call before; the worker's report arrives in any case.
    call = await get_call(failing, http, call_id, lambda c: detail in details(c))
    assert detail in details(call), [failing.worker.lines[-60:], call["timeline"]]


@pytest.fixture(scope="module")
def failing(livekit_binary: Path) -> Any:
    worker = Path(__file__).with_name("failing_worker.py")
    with real_servers(worker=python("-m", "livekit.agents", "start", str(worker))) as servers:
        yield servers
