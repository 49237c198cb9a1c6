"""The shipped workflows in a real n8n: imported, set up as their notes say, executed."""

from typing import Any

import aiohttp
import pytest

from tests.conftest import DISPATCH_KEY
from tests.n8n.conftest import (
    CALL_EVENTS,
    CALLBACK_HEADER,
    DISPATCH,
    DISPATCH_AND_WAIT,
    NAMES,
    RunningN8n,
    User,
    node_of,
    set_field,
    shipped_workflow,
)
from tests.n8n.editor import ENDED, Execution
from tests.n8n.scripted_gateway import CALL_ID, Drop, Response, ScriptedGateway, accepted, refused

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)


CARRIER_REFUSES = refused(
    502,
    "livekit_refused",
    "403 Forbidden auth ID",
    twirp={"code": "permission_denied", "msg": "", "meta": {}},
    sip={"status_code": 403, "status": "Forbidden auth ID"},
)
TOO_MANY_CALLS = Response(429, {"error": "too_many_calls", "message": "full"}, {"Retry-After": "1"})


def event(name: str, event_id: str = "evt_1", **call: object) -> dict[str, Any]:
    """A callback's body."""
    default = {
        "call_id": CALL_ID,
        "direction": "outbound",
        "call_status": "ended",
        "from_number": "+15550199",
        "to_number": "+15550100",
        "metadata": {"ticket_id": "INC-1234"},
        "disconnection_reason": "user_hangup",
        "duration_ms": 4059,
        "sip": None,
    }
    return {"event": name, "event_id": event_id, "call": default | call}


@pytest.mark.parametrize("name", NAMES)
def test_n8n_imports_a_workflow_unchanged(name: str, running_n8n: RunningN8n) -> None:
    file = shipped_workflow(name)
    imported = running_n8n.workflows[file["id"]]
    assert {key: imported[key] for key in file.keys() - {"pinData"}} == {
        key: value for key, value in file.items() if key != "pinData"
    }


class TestDispatch:
    async def executed(self, user: User, gateway: ScriptedGateway) -> Execution:
        return await user.execute(await user.set_up(DISPATCH, gateway.url))

    async def test_an_accepted_call_reaches_the_node_accepted(
        self, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        execution = await self.executed(user, scripted_gateway)
        assert execution.output("Accepted") == {
            "outcome": "accepted",
            "call_id": CALL_ID,
            "call_status": "registered",
            "dispatch_id": "AD_abc123",
            "job_id": "AJ_def456",
        }
        (request,) = scripted_gateway.requests
        assert request.headers["X-API-Key"] == DISPATCH_KEY
        assert request.headers["Idempotency-Key"] == f"{execution.id}-0"
        assert request.body == {
            "destination": "+15550100",
            "account_code": "em-tech-01",
            "caller_number": "+15550199",
            "metadata": {"ticket_id": "INC-1234"},
        }

    async def test_a_call_that_the_carrier_refuses_reaches_the_node_refused(
        self, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        scripted_gateway.script(CARRIER_REFUSES)
        execution = await self.executed(user, scripted_gateway)
        output = execution.output("Refused")
        assert (output["message"], output["sip_status"]) == ("403 Forbidden auth ID", 403)
        assert output["call"]["caller_number"] == "+15550199"

    async def test_a_dispatch_is_repeated_with_its_key_after_a_429(
        self, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        scripted_gateway.script(TOO_MANY_CALLS, TOO_MANY_CALLS, accepted())
        execution = await self.executed(user, scripted_gateway)
        assert execution.output("Accepted")["call_id"] == CALL_ID
        assert len(scripted_gateway.requests) == 3
        keys = {request.headers["Idempotency-Key"] for request in scripted_gateway.requests}
        assert len(keys) == 1

    async def test_each_item_has_its_own_key_also_when_repeated(
        self, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        scripted_gateway.script(TOO_MANY_CALLS, accepted())
        workflow = await user.set_up(DISPATCH, scripted_gateway.url)
        workflow["pinData"] = {
            "Start": [{"json": {"phone": p}} for p in ("+15550101", "+15550102")]
        }
        call = '={ "destination": "{{ $json.phone }}", "account_code": "em-tech-01" }'
        set_field(node_of(workflow, "Call"), "call", call)
        execution = await user.execute(workflow)
        assert execution.status == "success"
        keys = {
            (request.body["destination"], request.headers["Idempotency-Key"])
            for request in scripted_gateway.requests
        }
        assert len(scripted_gateway.requests) == 3
        assert keys == {("+15550101", f"{execution.id}-0"), ("+15550102", f"{execution.id}-1")}

    async def test_a_dispatch_ends_after_six_times_429(
        self, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        scripted_gateway.script(TOO_MANY_CALLS)
        execution = await self.executed(user, scripted_gateway)
        assert execution.output("Not accepted")["status"] == 429
        assert len(scripted_gateway.requests) == 6

    @pytest.mark.parametrize(
        ("response", "error"),
        [
            (refused(401, "unauthorized", "no such key"), "unauthorized"),
            (refused(409, "conflict", "same key, other body"), "conflict"),
            (refused(422, "invalid", "no", details={"destination": ["Missing."]}), "invalid"),
            (refused(503, "no_agent", "no worker"), "no_agent"),
            (Response(502, "<html>Bad Gateway</html>"), "unknown"),
        ],
    )
    async def test_other_errors_reach_the_node_not_accepted(
        self,
        response: Response,
        error: str,
        user: User,
        scripted_gateway: ScriptedGateway,
    ) -> None:
        scripted_gateway.script(response)
        execution = await self.executed(user, scripted_gateway)
        output = execution.output("Not accepted")
        assert (output["status"], output["error"]) == (response.status, error)

    async def test_a_dispatch_is_repeated_with_its_key_after_a_network_error(
        self, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        scripted_gateway.script(Drop(), accepted())
        execution = await self.executed(user, scripted_gateway)
        assert execution.output("Accepted")["call_id"] == CALL_ID
        first, second = scripted_gateway.requests
        assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]

    async def test_an_execution_fails_without_a_gateway(
        self, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        scripted_gateway.script(Drop())
        execution = await self.executed(user, scripted_gateway)
        assert execution.status == "error"
        assert len(scripted_gateway.requests) == 3


class TestDispatchAndWait:
    @pytest.mark.parametrize(
        ("call", "outcome"),
        [
            ({"call_status": "ended"}, "answered"),
            ({"call_status": "not_connected", "disconnection_reason": "dial_busy"}, "busy"),
            (
                {"call_status": "not_connected", "disconnection_reason": "dial_no_answer"},
                "no answer",
            ),
            ({"call_status": "not_connected", "disconnection_reason": "user_declined"}, "declined"),
            (
                {
                    "call_status": "not_connected",
                    "disconnection_reason": "invalid_destination",
                    "sip": {"status": 404, "reason": "Not Found"},
                },
                "failed",
            ),
            ({"call_status": "error", "disconnection_reason": "agent_error"}, "failed"),
        ],
    )
    async def test_the_callback_decides_the_outcome(
        self,
        call: dict[str, Any],
        outcome: str,
        user: User,
        scripted_gateway: ScriptedGateway,
        http: aiohttp.ClientSession,
    ) -> None:
        workflow = await user.set_up(DISPATCH_AND_WAIT, scripted_gateway.url)
        execution_id = await user.editor.execute(workflow)
        await user.editor.execution(execution_id, "waiting")
        (request,) = scripted_gateway.requests
        assert request.body["callback_events"] == ["call_ended"]
        assert request.body["wait"] == "none"
        body = event("call_ended", **call)
        async with http.post(
            request.body["callback_url"], json=body, headers=CALLBACK_HEADER
        ) as response:
            assert response.status == 200, await response.text()
        output = (await user.editor.execution(execution_id, *ENDED)).output("Outcome")
        assert output["outcome"] == outcome
        assert output["call_id"] == CALL_ID
        assert output["call_status"] == call["call_status"]
        assert output["disconnection_reason"] == body["call"]["disconnection_reason"]
        assert output["duration_ms"] == 4059
        assert output["sip_status"] == (call["sip"]["status"] if "sip" in call else 0)
        assert output["metadata"] == {"ticket_id": "INC-1234"}

    async def test_only_an_authenticated_callback_ends_the_wait(
        self,
        user: User,
        scripted_gateway: ScriptedGateway,
        http: aiohttp.ClientSession,
    ) -> None:
        """The gateway's deliveries and docs/n8n.md rely on these statuses."""
        workflow = await user.set_up(DISPATCH_AND_WAIT, scripted_gateway.url)
        execution_id = await user.editor.execute(workflow)
        await user.editor.execution(execution_id, "waiting")
        url = scripted_gateway.requests[0].body["callback_url"]

        async def post(url: str, headers: dict[str, str]) -> int:
            async with http.post(url, json=event("call_ended"), headers=headers) as response:
                return response.status

        assert await post(url, {"X-Callback-Key": "guessed"}) == 403
        assert await post(url, CALLBACK_HEADER) == 200
        assert (await user.editor.execution(execution_id, *ENDED)).status == "success"
        assert await post(url, CALLBACK_HEADER) == 409
        assert await post(url.replace(f"/{execution_id}", "/999999"), CALLBACK_HEADER) == 404

    @pytest.mark.parametrize("response", [CARRIER_REFUSES, refused(503, "no_agent", "no worker")])
    async def test_an_error_of_the_dispatch_is_the_outcome(
        self, response: Response, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        scripted_gateway.script(response)
        workflow = await user.set_up(DISPATCH_AND_WAIT, scripted_gateway.url)
        execution = await user.execute(workflow)
        output = execution.output("Outcome")
        assert isinstance(response.body, dict)
        assert (output["outcome"], output["message"]) == (
            "not dispatched",
            response.body["message"],
        )

    async def test_a_missing_callback_is_the_outcome(
        self, user: User, scripted_gateway: ScriptedGateway
    ) -> None:
        workflow = await user.set_up(DISPATCH_AND_WAIT, scripted_gateway.url)
        waiting = node_of(workflow, "Until it ended")["parameters"]
        waiting |= {"resumeAmount": 1, "resumeUnit": "seconds"}
        execution_id = await user.editor.execute(workflow)
        # n8n checks once a minute which waits have ended.
        output = (await user.editor.execution(execution_id, *ENDED, limit=100)).output("Outcome")
        assert (output["outcome"], output["call_id"]) == ("no callback", CALL_ID)


async def test_a_callback_reaches_the_node_of_its_event_once(
    user: User, running_n8n: RunningN8n, http: aiohttp.ClientSession
) -> None:
    workflow = await user.set_up(CALL_EVENTS)
    await user.editor.activate(workflow)
    path = node_of(workflow, "Gateway calls")["parameters"]["path"]
    url = f"{running_n8n.n8n.url}/webhook/{path}"

    async def received(body: dict[str, Any]) -> Execution:
        known = await user.editor.executions(workflow["id"])
        async with http.post(url, json=body, headers=CALLBACK_HEADER) as response:
            assert response.status == 200, await response.text()
        (execution,) = await user.new_executions(workflow, known, 1)
        return execution

    async with http.post(url, json=event("call_ended")) as response:
        assert response.status == 403

    started = (await received(event("call_started", "e1", call_status="ongoing"))).output(
        "Call started"
    )
    assert (started["call_id"], started["from_number"]) == (CALL_ID, "+15550199")
    ended = (await received(event("call_ended", "e2"))).output("Call ended")
    assert (ended["disconnection_reason"], ended["duration_ms"]) == ("user_hangup", 4059)
    report = {"turns": 3}
    analyzed = await received(event("call_analyzed", "e3", report=report))
    assert analyzed.output("Call analyzed")["report"] == report
    assert "Anything else" in (await received(event("transfer_started", "e4"))).nodes

    repeated = await received(event("call_ended", "e2"))
    assert repeated.status == "success"
    assert "Call ended" not in repeated.nodes
