"""Calls for the page: registered at a gateway in this process, with events and reports."""

import re
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from gateway.api.services import Services
from gateway.calls.call import Call, Direction, Event, EventKind, TimelineEntry
from gateway.calls.outcomes import SipOutcome
from gateway.calls.participants import Leg, Participant, ParticipantKind
from gateway.calls.reasons import DisconnectionReason

AGENT = "nehos-outbound-agent"
#: How the calls' telephone numbers begin; within a longer number, such as a time in ms, it is none.
NUMBER = re.compile(r"(?<!\d)1555")
#: What two people say: who, after how many s, what.
CONVERSATION = (
    ("agent", 2.6, "Harbour Street Clinic, this is Nia speaking. How can I help you?"),
    ("user", 7.0, "Hi, I would like to move my appointment on Thursday to next week."),
    ("agent", 10.5, "Of course. May I have your date of birth to find it?"),
    ("user", 15.4, "The fourth of March, nineteen eighty-one."),
    ("agent", 18.9, "Thank you. I see Thursday at ten. Next Tuesday at half past nine is free."),
    ("user", 25.2, "That works for me."),
    ("agent", 28.7, "Then it is Tuesday at half past nine. You will get a message. Goodbye."),
    ("user", 41.5, "Thanks, bye!"),
)
#: The same, but for its last answer the caller waits for 7.8 s.
LATE = tuple((role, 35.6 if after == 28.7 else after, text) for role, after, text in CONVERSATION)
CALLER_LEG = Participant("sip_+15550100", ParticipantKind.SIP, sip_call_id="SCL_1")


def report_of(
    start: int, lines: Sequence[tuple[str, float, str]] = CONVERSATION, **more: Any
) -> dict[str, Any]:
    """The report of an agent that talked as in `lines`, `start` in ms since epoch."""
    transcript = [
        {"at": start + round(after * 1000), "role": role, "text": text}
        for role, after, text in lines
    ]
    return {
        "pipeline": "voice",
        "profile": "receptionist",
        "transcript": transcript,
        "turns": _turns(start, lines),
        "usage": [{"type": "llm_usage", "model": "gpt-4.1-mini", "input_tokens": 1822}],
        "errors": [],
        "duration_ms": 46_000,
        "stalls": [],
        "mute": [],
        **more,
    }


def _turns(start: int, lines: Sequence[tuple[str, float, str]]) -> list[dict[str, int]]:
    """For each answer: the caller is taken to have spoken for 2.6 s."""
    return [
        {
            "at": start + round((said + 2.6) * 1000),
            "latency_ms": round((answered - said - 2.6) * 1000),
        }
        for (role, said, _), (_, answered, _) in pairwise(lines)
        if role == "user"
    ]


class MadeCalls:
    """Makes calls at the gateway of `services`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._number = 0

    async def registered(
        self, *, ago: float = 0.0, direction: Direction = Direction.INBOUND, **fields: Any
    ) -> Call:
        """A call that began `ago` s before now."""
        self._number += 1
        start = time.time_ns() // 1_000_000 - round(ago * 1000)
        about = {
            "call_id": f"call-{self._number:08d}-0000-4000-8000-00000000000{self._number % 10}",
            "direction": direction,
            "agent_name": AGENT,
            "start_timestamp": start,
            "from_number": f"+155501{self._number % 100:02d}",
            "to_number": "+15550199",
            "caller_name": "Jo Caller",
            "jambonz": {"call_sid": f"sid-{self._number}"},
            "caller": Leg(CALLER_LEG.identity),
            "timeline": (TimelineEntry(start, EventKind.REGISTERED),),
            **fields,
        }
        added = await self._services.lifecycle.register(Call(**about))
        return added.call

    async def answered(self, *, ago: float = 0.0, **fields: Any) -> Call:
        """A call whose agent talks."""
        call = await self.registered(ago=ago, **fields)
        await self.apply(call, EventKind.ROOM_CREATED, 0.05, ids={"room_sid": "RM_1"})
        await self.apply(call, EventKind.LEG_STATUS, 0.4, detail="B leg trying, SIP 100")
        await self.apply(call, EventKind.AGENT_JOINED, 0.9)
        await self.apply(call, EventKind.CALLER_JOINED, 1.1, detail="SIP", participant=CALLER_LEG)
        await self.apply(call, EventKind.RINGING, 1.15, detail="B leg, SIP 180")
        await self.apply(call, EventKind.AGENT_READY, 1.6)
        await self.apply(call, EventKind.AGENT_AUDIBLE, 1.7, detail="track TR_1")
        return await self.apply(call, EventKind.ANSWERED, 2.0, detail="B leg, SIP 200")

    async def ended(
        self, *, ago: float = 60.0, report: Mapping[str, Any] | None = None, **fields: Any
    ) -> Call:
        """A call that was answered and ended, with the report of its agent."""
        call = await self.answered(ago=ago, **fields)
        await self.apply(call, EventKind.HUNG_UP, 46.2, detail="the caller hung up")
        leaves = {"participant": CALLER_LEG, "detail": "CLIENT_INITIATED"}
        await self.apply(call, EventKind.CALLER_LEFT, 46.3, **leaves)
        await self.apply(call, EventKind.AGENT_LEFT, 46.8, detail="ROOM_DELETED")
        if report is None:
            report = report_of(call.start_timestamp)
        return await self.apply(call, EventKind.AGENT_REPORT, 47.5, report=report)

    async def silent(self, *, ago: float = 120.0) -> Call:
        """A call in which the caller heard nothing for 8 s."""
        start = time.time_ns() // 1_000_000 - round(ago * 1000)
        mute = [{"at": start + 27_800, "duration_ms": 7_800}]
        report = report_of(start, LATE, mute=mute, longest_silence_ms=7_800)
        return await self.ended(ago=ago, report=report)

    async def without_agent(self, *, ago: float = 60.0) -> Call:
        call = await self.registered(ago=ago)
        await self.apply(call, EventKind.ROOM_CREATED, 0.05)
        reason = DisconnectionReason.NO_AGENT
        return await self.apply(call, EventKind.NO_AGENT, 10.1, reason=reason, detail="10 s")

    async def busy(self, *, ago: float = 60.0) -> Call:
        call = await self.registered(ago=ago, direction=Direction.OUTBOUND)
        await self.apply(call, EventKind.AGENT_JOINED, 0.7)
        await self.apply(call, EventKind.DIALING, 0.9, detail="+15550199")
        sip = SipOutcome(486, "Busy Here")
        return await self.apply(
            call,
            EventKind.DIAL_FAILED,
            3.0,
            detail="486 Busy Here",
            reason=DisconnectionReason.DIAL_BUSY,
            sip=sip,
        )

    async def apply(self, call: Call, kind: EventKind, after: float, **fields: Any) -> Call:
        """Apply an event `after` s from the call's start."""
        event = Event(kind, call.start_timestamp + round(after * 1000), **fields)
        changed = await self._services.lifecycle.apply(call.call_id, event)
        assert changed
        return changed
