"""What all parts of a conversation share: the call, its profile, the session and how it ends."""

from dataclasses import dataclass, field

from livekit import rtc
from livekit.agents import AgentSession, JobContext

from agent.context import CallContext
from agent.ending import Ends
from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import Profile
from agent.record import Record
from agent.settings import WorkerSettings
from agent.voice.observer import Observer
from agent.voice.recording import CallRecording


@dataclass
class VoiceCall:
    """One conversation. `hosts` are those that it may send requests to.

    `profile` is the call's own: routed, overridden by `session_options`, variables filled in.
    `caller` is set once they can hear the agent. `in_voicemail`: whether a machine took the call,
    None if nobody looked. `is_leaving`: a transfer runs, or the last words are said, and nobody
    else speaks or ends the call. `is_away`: somebody is asked whether they take the caller, whose
    leg has left the room and may be back. `is_listening`: to an answering machine or a menu.
    `unheard`: how often in a row the caller has spoken and the recogniser found no words.
    """

    job: JobContext
    call: CallContext
    settings: WorkerSettings
    profile: Profile
    session: AgentSession[None]
    record: Record
    profile_name: str = "default"
    hosts: HostPolicy = field(default_factory=HostPolicy)
    ends: Ends = field(default_factory=Ends)
    caller: rtc.RemoteParticipant | None = None
    in_voicemail: bool | None = None
    is_leaving: bool = False
    is_away: bool = False
    is_listening: bool = False
    unheard: int = 0
    observer: Observer = field(init=False)
    recording: CallRecording = field(init=False)

    def __post_init__(self) -> None:
        self.record.pipeline = "voice"
        self.observer = Observer(self.session, self.record, self.may_be_silent)
        self.recording = CallRecording(
            self.job,
            self.session,
            self.profile.record,
            self.hosts,
            call_id=self.call.call_id,
            wanted=self.call.record_call,
        )

    def may_be_silent(self) -> bool:
        """Whether the caller does not wait for the agent's words."""
        is_detecting = self.is_listening or self.session.amd is not None
        return is_detecting or self.is_leaving or self.is_away

    @property
    def room(self) -> rtc.Room:
        return self.job.room
