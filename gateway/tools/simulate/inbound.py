"""`simulate inbound`: play Jambonz and the caller of a call, and check each step of it."""

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

from gateway.config.loader import CLIENT_ENV_FILES, environment, load_config, own_keys
from gateway.config.settings import Config
from gateway.errors import GatewayError
from gateway.security.api_keys import OwnKeys
from gateway.tools.gateway_api import GatewayApi, outcome
from gateway.tools.simulate import caller
from gateway.tools.simulate.jambonz import HookRefused, Jambonz
from gateway.tools.simulate.steps import Steps, print_step

SIP_URI = re.compile(r"sip:(?P<room>[^@;]+)@")
#: How long one request may take, in s.
REQUEST_TIMEOUT = 10


@dataclass(frozen=True)
class Script:
    """What the caller does: presses `keys`, plays `wav` or a tone, hangs up after `hold` s.

    What the caller hears is written to the file `record`.
    """

    from_number: str = "+15550100"
    to_number: str = "+15550199"
    keys: str = ""
    hold: float = 4.0
    wav: Path | None = None
    record: Path | None = None

    def voice(self) -> Iterator[bytes]:
        return caller.wav_frames(self.wav) if self.wav else caller.tone()


def run(arguments: argparse.Namespace) -> int:
    """The command; returns 0. Raises GatewayError, which names the step that failed."""
    config = load_config(arguments.config, env_files=CLIENT_ENV_FILES)
    keys = own_keys(config, environment(CLIENT_ENV_FILES))
    caller.check_livekit(config)
    script = Script(
        from_number=arguments.from_number,
        to_number=arguments.to_number,
        keys=arguments.dtmf,
        hold=arguments.hold,
        wav=Path(arguments.wav) if arguments.wav else None,
        record=Path(arguments.record) if arguments.record else None,
    )
    steps = Steps(print_step(in_json=arguments.json))
    asyncio.run(play(config, keys, arguments.url or config.own_url, script, steps))
    return 0


async def play(config: Config, keys: OwnKeys, url: str, script: Script, steps: Steps) -> None:
    """Play `script` against the gateway at `url`. Raises StepFailed, CallerError."""
    voice = script.voice()
    if script.record:
        caller.check_writable(script.record)
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        api = GatewayApi(session, url, keys)
        jambonz = _jambonz(session, url, config, script)
        dial = await steps.run("call hook answered", _dial_verb(jambonz), describe=_sip_uri)
        call_id = _room(dial)
        token = caller.sip_token(config, call_id, script.from_number, rule_id=caller.RULE_ID)
        try:
            async with AsyncExitStack() as stack:
                joining = stack.enter_async_context(caller.Caller.joined(config.livekit.url, token))
                telephone = await steps.run("caller in the room", joining)
                await telephone.speak(voice)
                await _connect(jambonz, telephone, steps)
                await steps.run("call shown as ongoing", api.wait_for_status(call_id, "ongoing"))
                await _converse(telephone, script, steps)
                if script.record:
                    caller.write_wav(script.record, telephone.recording)
        except BaseException:
            await _abandon(jambonz)
            raise
        await steps.run("hung up", _hang_up(jambonz, str(dial["actionHook"])))
        await steps.run("call shown as ended", api.ended_call(call_id), describe=outcome)


def _jambonz(session: aiohttp.ClientSession, url: str, config: Config, script: Script) -> Jambonz:
    secret = next(iter(config.security.webhook_secrets), "")
    credentials = next(iter(config.security.webhook_auth), None)
    return Jambonz(
        session, url, secret, script.from_number, script.to_number, credentials=credentials
    )


async def _dial_verb(jambonz: Jambonz) -> dict[str, Any]:
    """The `dial` verb that answers the call hook. Raises HookRefused."""
    verbs = await jambonz.call_arrives()
    if verbs[0]["verb"] != "dial" or not SIP_URI.search(_sip_uri(verbs[0])):
        raise HookRefused(
            "the gateway does not have Jambonz dial LiveKit; only inbound.strategy room can be "
            f"simulated: {verbs}"
        )
    return verbs[0]


async def _connect(jambonz: Jambonz, telephone: caller.Caller, steps: Steps) -> None:
    await steps.run("B leg rings", _ring(jambonz))
    await steps.run("agent in the room", telephone.agent_audio(), timeout=15)
    await steps.run("call answered", _answer(jambonz))
    await steps.run("agent heard", telephone.agent_heard(), timeout=10)


async def _converse(telephone: caller.Caller, script: Script, steps: Steps) -> None:
    if script.keys:
        timeout = 5.0 + len(script.keys)
        await steps.run("keys pressed", telephone.press(script.keys), timeout=timeout)
    await steps.run("talked", asyncio.sleep(script.hold), timeout=script.hold + 5)


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


async def _abandon(jambonz: Jambonz) -> None:
    """After a failed step: the caller hangs up, so that the call does not stay active."""
    with contextlib.suppress(GatewayError, aiohttp.ClientError, TimeoutError):
        await jambonz.status("no-answer", 487)


def _sip_uri(dial: dict[str, Any]) -> str:
    target: dict[str, Any] = next(iter(dial.get("target", [])), {})
    return str(target.get("sipUri", ""))


def _room(dial: dict[str, Any]) -> str:
    match = SIP_URI.search(_sip_uri(dial))
    return match["room"] if match else ""
