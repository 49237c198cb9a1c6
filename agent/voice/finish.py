"""What is left to do once the caller has gone: the recording, the analysis, the report."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from agent.record import ERROR_LIMIT
from agent.voice.analysis import analyze
from agent.voice.report import errors_of, turns_of, unanswered_of, usage_of
from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.voice")

#: How long the report may take, in s: the gateway waits `callbacks.report_timeout` (10 s) for it.
REPORT_TIMEOUT = 8.0


async def finish(voice: VoiceCall) -> Mapping[str, object]:
    """The final report, within REPORT_TIMEOUT. Never raises: no part of it costs the others."""
    ended_at = time.time()
    voice.record.close()
    recording, analysis = await asyncio.gather(
        _part(voice.recording.save(), lambda error: {"recording": {"error": error}}),
        _part(analyze(voice), lambda error: {"call_analysis": None, "analysis_error": error}),
    )
    return {**voice.record.report(), **_conversation(voice, ended_at), **recording, **analysis}


async def _part(
    part: Awaitable[Mapping[str, object]], failed: Callable[[str], Mapping[str, object]]
) -> Mapping[str, object]:
    """What `part` adds to the report, or what `failed` makes of its error."""
    try:
        async with asyncio.timeout(REPORT_TIMEOUT):
            return await part
    except TimeoutError:
        text = f"not done within {REPORT_TIMEOUT:g} s"
    except Exception as error:
        # Models and disks fail in many ways, and none may cost the report.
        text = f"{type(error).__name__}: {error}"[:ERROR_LIMIT]
    unfinished = failed(text)
    logger.error("report.part_failed", extra={"part": next(iter(unfinished)), "error": text})
    return unfinished


def _conversation(voice: VoiceCall, ended_at: float) -> Mapping[str, object]:
    try:
        items = voice.session.history.items
        return {
            "profile": voice.profile_name,
            "usage": usage_of(voice.session.usage.model_usage),
            "turns": turns_of(items),
            "unanswered": unanswered_of(items, ended_at),
            "not_understood": voice.observer.not_understood,
            "model_errors": errors_of(voice.observer.errors),
            **({} if voice.in_voicemail is None else {"in_voicemail": voice.in_voicemail}),
        }
    except Exception:
        logger.exception("report.part_failed", extra={"part": "conversation"})
        return {}
