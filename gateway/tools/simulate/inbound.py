"""`simulate inbound`: a call from Jambonz's hook to its end, every step seen to happen."""

import argparse
import asyncio
import contextlib
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.config.loader import DEV_ENV, ENV_FILE, environment, load_config, own_keys
from gateway.config.settings import Config
from gateway.errors import GatewayError
from gateway.security.api_keys import OwnKeys
from gateway.tools.simulate import caller
from gateway.tools.simulate.jambonz import HookRefused, Jambonz
from gateway.tools.simulate.ops import Ops, check_livekit, reason, sip_token
from gateway.tools.simulate.steps import Steps

SIP_URI = re.compile(r"sip:(?P<room>[^@;]+)@")


@dataclass(frozen=True)
class Script:
    """What the caller does. `hold` in s."""

    from_number: str = "+15550100"
    to_number: str = "+15550199"
    keys: str = ""
    hold: float = 4.0
    wav: Path | None = None
    record: Path | None = None

    def voice(self) -> Iterator[bytes]:
        return caller.wav_frames(self.wav) if self.wav else caller.tone()


def run(arguments: argparse.Namespace) -> int:
    """The command; 0 when every step happened. Raises GatewayError naming the one that did not."""
    env_files = (ENV_FILE, DEV_ENV)
    config = load_config(arguments.config, env_files=env_files)
    keys = own_keys(config, environment(env_files))
    check_livekit(config)
    script = Script(
        from_number=arguments.from_number,
        to_number=arguments.to_number,
        keys=arguments.dtmf,
        hold=arguments.hold,
        wav=Path(arguments.wav) if arguments.wav else None,
        record=Path(arguments.record) if arguments.record else None,
    )
    url = (arguments.url or config.own_url).rstrip("/")
    asyncio.run(play(config, keys, url, script, Steps(say=print)))
    return 0


async def play(config: Config, keys: OwnKeys, url: str, script: Script, steps: Steps) -> None:
    """Play `script` against the gateway at `url`. Raises StepFailed."""
    voice = script.voice()
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        jambonz = _jambonz(session, url, config, script)
        dial = await steps.run("call hook answered", _dialed(jambonz), show=_sip_uri)
        ops = Ops(session, url, keys, _room(dial))
        try:
            async with AsyncExitStack() as stack:
                person = await steps.run(
                    "caller in the room",
                    stack.enter_async_context(
                        caller.Caller.joined(
                            config.livekit.url, sip_token(config, ops.call_id, script.from_number)
                        )
                    ),
                )
                await person.speak(voice)
                await _converse(jambonz, person, ops, script, steps)
                if script.record:
                    caller.write_wav(script.record, person.recording)
        except BaseException:
            await _give_up(jambonz)
            raise
        await steps.run("hung up", _hang_up(jambonz, str(dial["actionHook"])))
        await steps.run("call shown as ended", ops.shows("ended"), show=reason)


def _jambonz(session: aiohttp.ClientSession, url: str, config: Config, script: Script) -> Jambonz:
    secret = next(iter(config.security.webhook_secrets), "")
    credentials = next(iter(config.security.webhook_auth), None)
    return Jambonz(
        session, url, secret, script.from_number, script.to_number, credentials=credentials
    )


async def _converse(
    jambonz: Jambonz,
    person: caller.Caller,
    ops: Ops,
    script: Script,
    steps: Steps,
) -> None:
    await steps.run("far leg rings", _ring(jambonz))
    await steps.run("agent in the room", person.agent_audio(), limit=15)
    await steps.run("call answered", _answer(jambonz))
    await steps.run("agent heard", person.agent_heard(), limit=10)
    await steps.run("call shown as ongoing", ops.shows("ongoing"))
    if script.keys:
        limit = 5.0 + len(script.keys)
        await steps.run("keys pressed", person.press(script.keys), limit=limit)
    await steps.run("talked", asyncio.sleep(script.hold), limit=script.hold + 5)


async def _dialed(jambonz: Jambonz) -> dict[str, Any]:
    verbs = await jambonz.call_arrives()
    if verbs[0]["verb"] != "dial" or not SIP_URI.search(_sip_uri(verbs[0])):
        only = "only inbound.strategy: room can be played"
        raise HookRefused(f"the caller is not dialed to LiveKit ({only}): {verbs}")
    return verbs[0]


async def _ring(jambonz: Jambonz) -> None:
    await jambonz.status("trying", 100)
    await jambonz.far_status("trying", 100)
    await jambonz.far_status("ringing", 180)


async def _answer(jambonz: Jambonz) -> None:
    await jambonz.far_status("in-progress")
    await jambonz.status("in-progress")


async def _hang_up(jambonz: Jambonz, action_hook: str) -> None:
    await jambonz.far_status("completed", duration=1)
    await jambonz.dial_ends(action_hook, "completed", "completed", 200)
    await jambonz.status("completed", duration=1, call_termination_by="caller")


async def _give_up(jambonz: Jambonz) -> None:
    """A step failed: the caller hangs up, so that the gateway is not left with the call."""
    with contextlib.suppress(GatewayError, aiohttp.ClientError, TimeoutError):
        await jambonz.status("no-answer", 487)


def _sip_uri(dial: dict[str, Any]) -> str:
    target: dict[str, Any] = next(iter(dial.get("target", [])), {})
    return str(target.get("sipUri", ""))


def _room(dial: dict[str, Any]) -> str:
    match = SIP_URI.search(_sip_uri(dial))
    return match["room"] if match else ""
