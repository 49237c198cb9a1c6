"""A worker whose agent is an AgentSession and nothing else: what a conversation takes at least."""

from livekit.agents import Agent, AgentSession, JobContext, inference
from livekit.plugins import openai

from agent.pipeline import DiagnosticPipeline
from agent.settings import read_settings
from agent.worker import Worker
from bench.script import GREETING

settings = read_settings()
server = Worker(settings, DiagnosticPipeline())


@server.rtc_session(agent_name=settings.agent_name)
async def take_call(ctx: JobContext) -> None:
    session: AgentSession[None] = AgentSession(
        stt=openai.STT(),
        llm=openai.LLM(),
        tts=openai.TTS(),
        vad=inference.VAD(model="silero"),
        turn_handling={"turn_detection": "vad", "endpointing": {"min_delay": 0.3}},
        aec_warmup_duration=None,
    )
    await session.start(Agent(instructions="Help."), room=ctx.room, record=False)
    await session.say(GREETING)
