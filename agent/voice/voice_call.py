"""What all parts of a conversation share: the call, its profile, the session and how it ends."""

from dataclasses import dataclass, field

from livekit import rtc
from livekit.agents import AgentSession, JobContext

from agent.context import CallContext
from agent.ending import Ends
from agent.profiles.profile import Profile
from agent.record import Record
from agent.settings import WorkerSettings


@dataclass
class VoiceCall:
    """One conversation.

    `profile` is the call's own: routed, overridden by `session_options`, variables filled in.
    `caller` is set once they can hear the agent.
    """

    job: JobContext
    call: CallContext
    settings: WorkerSettings
    profile: Profile
    session: AgentSession[None]
    record: Record
    ends: Ends = field(default_factory=Ends)
    caller: rtc.RemoteParticipant | None = None

    @property
    def room(self) -> rtc.Room:
        return self.job.room
