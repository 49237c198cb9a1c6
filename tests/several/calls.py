"""Calls behind nginx: the hooks of Jambonz and the webhooks of LiveKit, in their order."""

import asyncio
import json
import secrets

from livekit.protocol.models import ParticipantInfo

from gateway.tools.simulate.jambonz import Jambonz
from tests.fakes.webhooks import webhook
from tests.several.group import Group

AGENT, SIP = ParticipantInfo.Kind.AGENT, ParticipantInfo.Kind.SIP

#: Of a telephone that came by a dispatch rule.
ATTRIBUTES = {"sip.callStatus": "active", "sip.ruleID": "SDR_1"}


async def start_call(group: Group, jambonz: Jambonz, *, pause: float = 0) -> tuple[str, str]:
    """A call until caller and agent talk: its id, and the dial's action hook.

    `pause` in s between one request and the next.
    """
    (dial,) = await jambonz.call_arrives()
    assert dial["verb"] == "dial", dial
    call_id: str = dial["headers"]["X-Call-Id"]
    for kind, identity in ((AGENT, "agent"), (SIP, "caller")):
        group.livekit.add_participant(call_id, kind, identity, ATTRIBUTES)
        await asyncio.sleep(pause)
        body = participant_joined(call_id, kind, identity)
        assert await group.post_signed("/livekit/webhook", body) == 204
    await jambonz.status("trying", 100)
    await asyncio.sleep(pause)
    await jambonz.far_status("ringing", 180)
    await asyncio.sleep(pause)
    await jambonz.far_status("in-progress")
    await jambonz.status("in-progress")
    return call_id, str(dial["actionHook"])


async def hang_up(group: Group, jambonz: Jambonz, call_id: str, action_hook: str) -> None:
    """The caller hangs up, and the agent sends its report."""
    await jambonz.far_status("completed", duration=1)
    assert await jambonz.dial_ends(action_hook, "completed", "completed", 200) == []
    await jambonz.status("completed", duration=1, call_termination_by="caller")
    report = {"event": "agent_ended", "job_id": "AJ_1", "report": {"words": 3}}
    path = f"/livekit-api/calls/{call_id}/report"
    assert await group.post_signed(path, json.dumps(report).encode()) == 204


async def whole_call(group: Group, *, pause: float = 0) -> str:
    """A call from its first hook to its report; its id."""
    jambonz = group.jambonz()
    call_id, action_hook = await start_call(group, jambonz, pause=pause)
    await asyncio.sleep(pause)
    await hang_up(group, jambonz, call_id, action_hook)
    return call_id


def participant_joined(room: str, kind: ParticipantInfo.Kind, identity: str) -> bytes:
    participant = ParticipantInfo(kind=kind, identity=identity, attributes=ATTRIBUTES)
    return webhook(f"EV_{secrets.token_hex(6)}", "participant_joined", room, participant)
