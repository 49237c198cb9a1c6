"""The trigger in a real n8n: which events start its workflow, and how soon it answers."""

import asyncio
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
import pytest

from common.signing import Signer
from tests.conftest import CALLBACK_SECRET, GatewayStarter
from tests.n8n import node_package
from tests.n8n.conftest import NodeUser, RunningN8n, eventually, gateway_url, hang_up
from tests.n8n.editor import ENDED, JSON, Editor, Execution

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)

NAME = "Call Events"
CALL = {"call_id": "outbound-9f1a2b3c4d", "direction": "outbound", "disconnection_reason": None}
#: How many events a second reach the trigger while its answers are measured, and for how long (s).
RATE, DURATION = 50, 10


def event(name: str, event_id: str, **call: object) -> JSON:
    return {"event": name, "event_id": event_id, "call": CALL | call}


def signed(body: str, event_id: str, secret: str = CALLBACK_SECRET) -> Mapping[str, str]:
    return {**Signer([secret]).headers(event_id, body), "Content-Type": "application/json"}


@dataclass(frozen=True)
class Trigger:
    """An active workflow that begins with the trigger."""

    editor: Editor
    http: aiohttp.ClientSession
    workflow_id: str
    url: str

    async def send(self, event: JSON, secret: str = CALLBACK_SECRET) -> tuple[int, JSON]:
        """The trigger's answer to the event."""
        body = json.dumps(event)
        headers = signed(body, event["event_id"], secret)
        async with self.http.post(self.url, data=body, headers=headers) as response:
            return response.status, await response.json()

    async def executions(self, number: int) -> list[Execution]:
        """The workflow's executions, once there are so many."""

        async def ids() -> list[str] | None:
            ids = await self.editor.executions(self.workflow_id)
            return ids if len(ids) >= number else None

        found = await eventually(ids)
        assert len(found) == number
        return [await self.editor.execution(id_, *ENDED) for id_ in found]


async def activated(
    node: NodeUser,
    running: RunningN8n,
    http: aiohttp.ClientSession,
    name: str,
    **parameters: object,
) -> Trigger:
    """A trigger with its own URL; n8n's is made of the node's `webhookId`."""
    webhook_id = f"call-events-{name}"
    trigger = {
        "id": webhook_id,
        "name": NAME,
        "type": node_package.TRIGGER,
        "typeVersion": 1,
        "position": [0, 0],
        "webhookId": webhook_id,
        "parameters": parameters,
        "credentials": node.credential,
    }
    workflow = await node.editor.create_workflow(name, [trigger], {})
    await node.editor.activate(workflow)
    url = f"{running.n8n.url}/webhook/{webhook_id}/call-events"
    return Trigger(node.editor, http, workflow["id"], url)


async def test_an_event_starts_the_workflow_once(
    node: NodeUser, running_n8n: RunningN8n, http: aiohttp.ClientSession
) -> None:
    trigger = await activated(node, running_n8n, http, "once")
    ended = event("call_ended", "evt_1", disconnection_reason="user_hangup")
    assert await trigger.send(ended, "whsec_" + "Z3Vlc3NlZA==" * 4) == (
        401,
        {"error": "bad_signature"},
    )
    answers = [await trigger.send(ended) for _ in range(2)]
    assert answers == [(200, {"status": "accepted"}), (200, {"status": "repeated"})]
    (execution,) = await trigger.executions(1)
    assert execution.output(NAME) == ended


async def test_a_repetition_is_known_after_a_restart(
    node: NodeUser, running_n8n: RunningN8n, http: aiohttp.ClientSession
) -> None:
    trigger = await activated(node, running_n8n, http, "restart")
    ended = event("call_ended", "evt_1")
    assert await trigger.send(ended) == (200, {"status": "accepted"})
    await trigger.executions(1)
    await asyncio.to_thread(running_n8n.server.stop)
    await asyncio.to_thread(running_n8n.server.start)
    assert await trigger.send(ended) == (200, {"status": "repeated"})


async def test_only_the_selected_events_start_the_workflow(
    node: NodeUser, running_n8n: RunningN8n, http: aiohttp.ClientSession
) -> None:
    trigger = await activated(
        node,
        running_n8n,
        http,
        "filters",
        events=["call_ended"],
        directions=["outbound"],
        reasons=["dial_busy"],
    )
    filtered = [
        event("call_started", "evt_1", disconnection_reason="dial_busy"),
        event("call_ended", "evt_2", direction="inbound", disconnection_reason="dial_busy"),
        event("call_ended", "evt_3", disconnection_reason="user_hangup"),
    ]
    for one in filtered:
        assert await trigger.send(one) == (200, {"status": "filtered"})
    busy = event("call_ended", "evt_4", disconnection_reason="dial_busy")
    assert await trigger.send(busy) == (200, {"status": "accepted"})
    (execution,) = await trigger.executions(1)
    assert execution.output(NAME)["event_id"] == "evt_4"


async def test_the_gateways_own_events_start_the_workflow(
    node: NodeUser,
    running_n8n: RunningN8n,
    http: aiohttp.ClientSession,
    start_gateway: GatewayStarter,
) -> None:
    trigger = await activated(node, running_n8n, http, "gateway", events=[])
    gateway = await start_gateway(callbacks={"urls": [trigger.url]})
    await node.use(gateway_url(gateway))
    row = {"destination": "+15550100", "account_code": "em-tech-01", "name": "Łucja"}
    call_id = (await node.executed([row])).output("Gateway")["call_id"]
    await hang_up(gateway, call_id)
    started, ended = (item.output(NAME) for item in await trigger.executions(2))
    assert [started["event"], ended["event"]] == ["call_started", "call_ended"]
    assert {started["call"]["call_id"], ended["call"]["call_id"]} == {call_id}
    assert ended["call"]["metadata"]["name"] == "Łucja"


async def test_how_soon_it_answers(
    node: NodeUser,
    running_n8n: RunningN8n,
    http: aiohttp.ClientSession,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The times are shown, not asserted: n8n shares the machine with what else runs on it."""
    trigger = await activated(node, running_n8n, http, "many")
    times: list[float] = []

    async def send(number: int) -> None:
        await asyncio.sleep(number / RATE)
        began = time.perf_counter()
        assert await trigger.send(event("call_ended", f"evt_{number}")) == (
            200,
            {"status": "accepted"},
        )
        times.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(send(number) for number in range(RATE * DURATION)))
    with capsys.disabled():
        p95 = statistics.quantiles(times, n=20)[-1]
        print(  # noqa: T201 - a measurement
            f"\nn8n {running_n8n.n8n.version}, {RATE} events a second: the trigger answers within "
            f"{statistics.median(times):.0f} ms (median), {p95:.0f} ms (p95), {max(times):.0f} ms"
        )
