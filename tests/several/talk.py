"""A call as everybody tells the gateways of it: Jambonz's hooks, LiveKit's webhooks, in turn."""

import asyncio
import json
import secrets

from google.protobuf.json_format import MessageToJson
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.webhook import WebhookEvent

from gateway.tools.simulate.jambonz import Jambonz
from tests.several.group import Group

AGENT, SIP = ParticipantInfo.Kind.AGENT, ParticipantInfo.Kind.SIP


async def answered(group: Group, jambonz: Jambonz, *, pause: float = 0) -> tuple[str, str]:
    """The call until caller and agent talk: its id, and the dial's action hook.

    `pause` in s between one thing and the next.
    """
    (dial,) = await jambonz.call_arrives()
    assert dial["verb"] == "dial", dial
    call_id: str = dial["headers"]["X-Call-Id"]
    for kind, who in ((AGENT, "agent"), (SIP, "caller")):
        group.livekit.add_participant(call_id, kind, who)
        await asyncio.sleep(pause)
        assert await group.proven("/livekit/webhook", joined(call_id, kind, who)) == 204
    await jambonz.status("trying", 100)
    await asyncio.sleep(pause)
    await jambonz.far_status("ringing", 180)
    await asyncio.sleep(pause)
    await jambonz.far_status("in-progress")
    await jambonz.status("in-progress")
    return call_id, str(dial["actionHook"])


async def hung_up(group: Group, jambonz: Jambonz, call_id: str, action_hook: str) -> None:
    """The caller hangs up, and the agent says how it was."""
    await jambonz.far_status("completed", duration=1)
    assert await jambonz.dial_ends(action_hook, "completed", "completed", 200) == []
    await jambonz.status("completed", duration=1, call_termination_by="caller")
    told = {"event": "agent_ended", "job_id": "AJ_1", "report": {"words": 3}}
    path = f"/livekit-api/calls/{call_id}/report"
    assert await group.proven(path, json.dumps(told).encode()) == 204


async def whole(group: Group, *, pause: float = 0) -> str:
    """A call from its first hook to its report; its id."""
    jambonz = group.jambonz()
    call_id, action_hook = await answered(group, jambonz, pause=pause)
    await asyncio.sleep(pause)
    await hung_up(group, jambonz, call_id, action_hook)
    return call_id


def joined(room: str, kind: ParticipantInfo.Kind, who: str) -> bytes:
    event = WebhookEvent(event="participant_joined", id=f"EV_{secrets.token_hex(6)}")
    event.room.CopyFrom(Room(name=room))
    event.participant.CopyFrom(
        ParticipantInfo(kind=kind, identity=who, attributes={"sip.callStatus": "active"})
    )
    return MessageToJson(event).encode()
