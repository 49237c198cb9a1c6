"""`simulate outbound`: a call as n8n asks for it, from the dispatch to its end.

Where the agent dials for itself (`outbound.dialed_by: agent`) the callee is played too, by WebRTC;
else a real telephone rings, and what becomes of it is followed.
"""

import argparse
import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.calls.call import TERMINAL_STATUSES
from gateway.config.loader import DEV_ENV, ENV_FILE, environment, load_config, own_keys
from gateway.config.settings import Config
from gateway.security.api_keys import OwnKeys, Role
from gateway.tools.simulate import caller
from gateway.tools.simulate.ops import AnswerRefused, Ops, check_livekit, reason, sip_token
from gateway.tools.simulate.steps import Steps


@dataclass(frozen=True)
class Order:
    """What n8n asks for; the numbers are the n8n guide's. `hold` in s."""

    destination: str = "61402012298"
    account_code: str = "em-tech-01"
    caller_number: str = "+61123456789"
    caller_name: str = "LiveKit Nehos Hosted"
    hold: float = 4.0

    def body(self) -> dict[str, object]:
        return {
            "destination": self.destination,
            "account_code": self.account_code,
            "caller_number": self.caller_number,
            "caller_name": self.caller_name,
            "metadata": {"ticket_id": "INC-1234"},
        }


def run(arguments: argparse.Namespace) -> int:
    """The command; 0 when every step happened. Raises GatewayError naming the one that did not."""
    env_files = (ENV_FILE, DEV_ENV)
    config = load_config(arguments.config, env_files=env_files)
    keys = own_keys(config, environment(env_files))
    check_livekit(config)
    order = Order(destination=arguments.to_number, hold=arguments.hold)
    url = (arguments.url or config.own_url).rstrip("/")
    asyncio.run(play(config, keys, url, order, Steps(say=print)))
    return 0


async def play(config: Config, keys: OwnKeys, url: str, order: Order, steps: Steps) -> None:
    """Dispatch `order` to the gateway at `url` and see the call to its end. Raises StepFailed."""
    timeout = aiohttp.ClientTimeout(total=150)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        asked = _dispatch(session, url, keys, order)
        answer = await steps.run("dispatch answered", asked, limit=60, show=_ids)
        ops = Ops(session, url, keys, answer["call_id"])
        if config.outbound.dialed_by == "agent":
            await _be_called(config, ops, order, steps)
        else:
            limit = config.outbound.ringing_timeout + 10.0
            call = await steps.run(
                "call answered", ops.shows("ongoing", *TERMINAL_STATUSES), limit=limit, show=_status
            )
            if call["call_status"] == "ongoing":
                await steps.run("talked", asyncio.sleep(order.hold), limit=order.hold + 5)
                await steps.run("hung up", _hang_up(session, url, keys, ops.call_id))
        await steps.run("call shown as ended", ops.shows(*TERMINAL_STATUSES), limit=10, show=reason)


async def _be_called(config: Config, ops: Ops, order: Order, steps: Steps) -> None:
    async with AsyncExitStack() as stack:
        token = sip_token(config, ops.call_id, order.destination)
        joining = stack.enter_async_context(caller.Caller.joined(config.livekit.url, token))
        person = await steps.run("callee answers", joining)
        await person.speak(caller.tone())
        await steps.run("agent in the room", person.agent_audio(), limit=15)
        await steps.run("agent heard", person.agent_heard(), limit=10)
        await steps.run("call shown as ongoing", ops.shows("ongoing"))
        await steps.run("talked", asyncio.sleep(order.hold), limit=order.hold + 5)


async def _dispatch(
    session: aiohttp.ClientSession, url: str, keys: OwnKeys, order: Order
) -> dict[str, Any]:
    headers = keys.header(Role.DISPATCH)
    return await _post(session, f"{url}/dispatch", headers, order.body())


async def _hang_up(session: aiohttp.ClientSession, url: str, keys: OwnKeys, call_id: str) -> None:
    headers = keys.header(Role.DISPATCH)
    await _post(session, f"{url}/livekit-api/calls/{call_id}/hangup", headers, {})


async def _post(
    session: aiohttp.ClientSession, url: str, headers: Any, body: dict[str, object]
) -> dict[str, Any]:
    async with session.post(url, json=body, headers=headers) as answer:
        content: dict[str, Any] = await answer.json()
        if answer.status != 200:
            raise AnswerRefused(f"answered {answer.status}: {content.get('message')}")
    return content


def _ids(answer: dict[str, Any]) -> str:
    return f"{answer['call_id']}  {answer['dispatch_id']}  {answer['job_id']}"


def _status(call: dict[str, Any]) -> str:
    return str(call["call_status"])
