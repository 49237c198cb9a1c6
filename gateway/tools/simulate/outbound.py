"""`simulate outbound`: dispatch a call as n8n does, and follow it to its end.

With `outbound.dialed_by: agent` the callee is simulated too, by WebRTC. Otherwise LiveKit dials a
real telephone, and the call is only observed.
"""

import argparse
import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.calls.call import TERMINAL_STATUSES
from gateway.config.loader import CLIENT_ENV_FILES, environment, load_config, own_keys
from gateway.config.settings import Config
from gateway.security.api_keys import OwnKeys
from gateway.tools.gateway_api import GatewayApi, UnexpectedResponse, outcome
from gateway.tools.simulate import caller
from gateway.tools.simulate.steps import Steps, print_step

#: How long one request may take, in s: a dispatch waits for the agent and for early failures.
REQUEST_TIMEOUT = 150
#: How the gateway says that LiveKit has no SIP, or no trunk to dial through.
_NO_SIP = re.compile(r"\btrunk\b|sip not connected")
_WITHOUT_SIP = (
    "without a trunk the callee can be simulated: set GATEWAY__OUTBOUND__DIALED_BY=agent for the "
    "gateway (or `make run`) and for this command"
)


@dataclass(frozen=True)
class DispatchRequest:
    """A request to `POST /dispatch`, and how long to stay in the call once it is answered, in s."""

    destination: str = "+15550123"
    account_code: str = "example-01"
    caller_number: str = "+15550100"
    caller_name: str = "Example"
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
    """The command; returns 0. Raises GatewayError, which names the step that failed."""
    config = load_config(arguments.config, env_files=CLIENT_ENV_FILES)
    keys = own_keys(config, environment(CLIENT_ENV_FILES))
    caller.check_livekit(config)
    request = DispatchRequest(destination=arguments.to_number, hold=arguments.hold)
    steps = Steps(print_step(in_json=arguments.json))
    asyncio.run(play(config, keys, arguments.url or config.own_url, request, steps))
    return 0


async def play(
    config: Config, keys: OwnKeys, url: str, request: DispatchRequest, steps: Steps
) -> None:
    """Send `request` to the gateway at `url`, and follow the call. Raises StepFailed."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        api = GatewayApi(session, url, keys)
        dispatch = _dispatch(config, api, request)
        ids = await steps.run("dispatch answered", dispatch, timeout=60, describe=_ids)
        call_id: str = ids["call_id"]
        if config.outbound.dialed_by == "agent":
            await _answer_as_callee(config, api, call_id, request, steps)
        else:
            await _follow(config, api, call_id, request, steps)
        await steps.run(
            "call shown as ended", api.ended_call(call_id), timeout=10, describe=outcome
        )


async def _dispatch(config: Config, api: GatewayApi, request: DispatchRequest) -> dict[str, Any]:
    """Raises UnexpectedResponse, with the way out if there is no SIP."""
    try:
        return await api.dispatch(request.body())
    except UnexpectedResponse as error:
        if config.outbound.dialed_by == "gateway" and _NO_SIP.search(str(error)):
            raise UnexpectedResponse(error.status, f"{error.message}; {_WITHOUT_SIP}") from error
        raise


async def _answer_as_callee(
    config: Config, api: GatewayApi, call_id: str, request: DispatchRequest, steps: Steps
) -> None:
    """Join the room as the callee's telephone, talk, and leave it."""
    async with AsyncExitStack() as stack:
        token = caller.sip_token(config, call_id, request.destination)
        joining = stack.enter_async_context(caller.Caller.joined(config.livekit.url, token))
        callee = await steps.run("callee answers", joining)
        await callee.speak(caller.tone())
        await steps.run("agent in the room", callee.agent_audio(), timeout=15)
        await steps.run("agent heard", callee.agent_heard(), timeout=10)
        await steps.run("call shown as ongoing", api.wait_for_status(call_id, "ongoing"))
        await steps.run("talked", asyncio.sleep(request.hold), timeout=request.hold + 5)


async def _follow(
    config: Config, api: GatewayApi, call_id: str, request: DispatchRequest, steps: Steps
) -> None:
    """Observe how LiveKit dials a real telephone; hang up once the call was held."""
    call = await steps.run(
        "call answered",
        api.wait_for_status(call_id, "ongoing", *TERMINAL_STATUSES),
        timeout=config.outbound.ringing_timeout + 10.0,
        describe=_status,
    )
    if call["call_status"] == "ongoing":
        await steps.run("talked", asyncio.sleep(request.hold), timeout=request.hold + 5)
        await steps.run("hung up", api.hang_up(call_id))


def _ids(dispatched: dict[str, Any]) -> str:
    return f"{dispatched['call_id']}  {dispatched['dispatch_id']}  {dispatched['job_id']}"


def _status(call: dict[str, Any]) -> str:
    return str(call["call_status"])
