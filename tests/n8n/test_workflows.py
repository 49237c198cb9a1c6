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
    Started,
    User,
    node,
    set_field,
    shipped,
)
from tests.n8n.editor import DONE, Run
from tests.n8n.scripted_gateway import CALL_ID, Answer, Drop, ScriptedGateway, accepted, refused

# Starting n8n is part of whichever test comes first.
pytestmark = pytest.mark.timeout(300)


CARRIER_SAID_NO = refused(
    502,
    "livekit_refused",
    "403 Forbidden auth ID",
    twirp={"code": "permission_denied", "msg": "", "meta": {}},
    sip={"status_code": 403, "status": "Forbidden auth ID"},
)
FULL = Answer(429, {"error": "too_many_calls", "message": "full"}, {"Retry-After": "1"})


def event(name: str, event_id: str = "evt_1", **call: object) -> dict[str, Any]:
    """A callback's body."""
    known = {
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
    return {"event": name, "event_id": event_id, "call": known | call}


@pytest.mark.parametrize("name", [DISPATCH, DISPATCH_AND_WAIT, CALL_EVENTS])
def test_n8n_keeps_what_is_shipped(name: str, started: Started) -> None:
    file = shipped(name)
    kept = started.imported[file["id"]]
    assert {key: kept[key] for key in file.keys() - {"pinData"}} == {
        key: value for key, value in file.items() if key != "pinData"
    }


class TestDispatch:
    async def executed(self, user: User, gateway: ScriptedGateway) -> Run:
        return await user.executes(await user.sets_up(DISPATCH, gateway.url))

    async def test_accepted(self, user: User, gateway_stub: ScriptedGateway) -> None:
        run = await self.executed(user, gateway_stub)
        assert run.output("Accepted") == {
            "outcome": "accepted",
            "call_id": CALL_ID,
            "call_status": "registered",
            "dispatch_id": "AD_abc123",
            "job_id": "AJ_def456",
        }
        (asked,) = gateway_stub.asked
        assert asked.headers["X-API-Key"] == DISPATCH_KEY
        assert asked.headers["Idempotency-Key"] == f"{run.id}-0"
        assert asked.body == {
            "destination": "+15550100",
            "account_code": "em-tech-01",
            "caller_number": "+15550199",
            "metadata": {"ticket_id": "INC-1234"},
        }

    async def test_refused_by_the_carrier(self, user: User, gateway_stub: ScriptedGateway) -> None:
        gateway_stub.says(CARRIER_SAID_NO)
        run = await self.executed(user, gateway_stub)
        said = run.output("Refused")
        assert (said["message"], said["sip_status"]) == ("403 Forbidden auth ID", 403)
        assert said["call"]["caller_number"] == "+15550199"

    async def test_a_full_gateway_is_asked_again(
        self, user: User, gateway_stub: ScriptedGateway
    ) -> None:
        gateway_stub.says(FULL, FULL, accepted())
        run = await self.executed(user, gateway_stub)
        assert run.output("Accepted")["call_id"] == CALL_ID
        assert len(gateway_stub.asked) == 3
        assert len({asked.headers["Idempotency-Key"] for asked in gateway_stub.asked}) == 1

    async def test_each_item_keeps_its_own_key(
        self, user: User, gateway_stub: ScriptedGateway
    ) -> None:
        """Also an item that is asked for again without the others."""
        gateway_stub.says(FULL, accepted())
        workflow = await user.sets_up(DISPATCH, gateway_stub.url)
        workflow["pinData"] = {
            "Start": [{"json": {"phone": p}} for p in ("+15550101", "+15550102")]
        }
        call = '={ "destination": "{{ $json.phone }}", "account_code": "em-tech-01" }'
        set_field(node(workflow, "Call"), "call", call)
        run = await user.executes(workflow)
        assert run.status == "success"
        asked = {
            (asked.body["destination"], asked.headers["Idempotency-Key"])
            for asked in gateway_stub.asked
        }
        assert len(gateway_stub.asked) == 3
        assert asked == {("+15550101", f"{run.id}-0"), ("+15550102", f"{run.id}-1")}

    async def test_a_gateway_that_stays_full(
        self, user: User, gateway_stub: ScriptedGateway
    ) -> None:
        gateway_stub.says(FULL)
        run = await self.executed(user, gateway_stub)
        assert run.output("Not accepted")["status"] == 429
        assert len(gateway_stub.asked) == 6

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (refused(401, "unauthorized", "no such key"), "unauthorized"),
            (refused(409, "conflict", "same key, other body"), "conflict"),
            (refused(422, "invalid", "no", details={"destination": ["Missing."]}), "invalid"),
            (refused(503, "no_agent", "no worker"), "no_agent"),
            (Answer(502, "<html>Bad Gateway</html>"), "unknown"),
        ],
    )
    async def test_anything_else(
        self,
        answer: Answer,
        error: str,
        user: User,
        gateway_stub: ScriptedGateway,
    ) -> None:
        gateway_stub.says(answer)
        run = await self.executed(user, gateway_stub)
        said = run.output("Not accepted")
        assert (said["status"], said["error"]) == (answer.status, error)

    async def test_a_network_that_fails_once_gets_the_same_key_again(
        self, user: User, gateway_stub: ScriptedGateway
    ) -> None:
        gateway_stub.says(Drop(), accepted())
        run = await self.executed(user, gateway_stub)
        assert run.output("Accepted")["call_id"] == CALL_ID
        first, second = gateway_stub.asked
        assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]

    async def test_without_a_gateway_the_execution_fails(
        self, user: User, gateway_stub: ScriptedGateway
    ) -> None:
        gateway_stub.says(Drop())
        run = await self.executed(user, gateway_stub)
        assert run.status == "error"
        assert len(gateway_stub.asked) == 3


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
    async def test_the_outcome(
        self,
        call: dict[str, Any],
        outcome: str,
        user: User,
        gateway_stub: ScriptedGateway,
        http: aiohttp.ClientSession,
    ) -> None:
        workflow = await user.sets_up(DISPATCH_AND_WAIT, gateway_stub.url)
        execution = await user.editor.execute(workflow)
        await user.editor.until(execution, "waiting")
        (asked,) = gateway_stub.asked
        assert asked.body["callback_events"] == ["call_ended"]
        assert asked.body["wait"] == "none"
        body = event("call_ended", **call)
        async with http.post(
            asked.body["callback_url"], json=body, headers=CALLBACK_HEADER
        ) as answer:
            assert answer.status == 200, await answer.text()
        said = (await user.editor.until(execution, *DONE)).output("Outcome")
        assert said["outcome"] == outcome
        assert said["call_id"] == CALL_ID
        assert said["call_status"] == call["call_status"]
        assert said["disconnection_reason"] == body["call"]["disconnection_reason"]
        assert said["duration_ms"] == 4059
        assert said["sip_status"] == (call["sip"]["status"] if "sip" in call else 0)
        assert said["metadata"] == {"ticket_id": "INC-1234"}

    async def test_only_the_gateway_ends_the_wait(
        self,
        user: User,
        gateway_stub: ScriptedGateway,
        http: aiohttp.ClientSession,
    ) -> None:
        """What n8n answers to whom; docs/n8n.md and the gateway's deliveries build upon it."""
        workflow = await user.sets_up(DISPATCH_AND_WAIT, gateway_stub.url)
        execution = await user.editor.execute(workflow)
        await user.editor.until(execution, "waiting")
        url = gateway_stub.asked[0].body["callback_url"]

        async def posted(url: str, headers: dict[str, str]) -> int:
            async with http.post(url, json=event("call_ended"), headers=headers) as answer:
                return answer.status

        assert await posted(url, {"X-Callback-Key": "guessed"}) == 403
        assert await posted(url, CALLBACK_HEADER) == 200
        assert (await user.editor.until(execution, *DONE)).status == "success"
        assert await posted(url, CALLBACK_HEADER) == 409
        assert await posted(url.replace(f"/{execution}", "/999999"), CALLBACK_HEADER) == 404

    @pytest.mark.parametrize("answer", [CARRIER_SAID_NO, refused(503, "no_agent", "no worker")])
    async def test_not_dispatched(
        self, answer: Answer, user: User, gateway_stub: ScriptedGateway
    ) -> None:
        gateway_stub.says(answer)
        workflow = await user.sets_up(DISPATCH_AND_WAIT, gateway_stub.url)
        run = await user.executes(workflow)
        said = run.output("Outcome")
        assert isinstance(answer.body, dict)
        assert (said["outcome"], said["message"]) == ("not dispatched", answer.body["message"])

    async def test_no_callback_within_the_limit(
        self, user: User, gateway_stub: ScriptedGateway
    ) -> None:
        workflow = await user.sets_up(DISPATCH_AND_WAIT, gateway_stub.url)
        waiting = node(workflow, "Until it ended")["parameters"]
        waiting |= {"resumeAmount": 1, "resumeUnit": "seconds"}
        execution = await user.editor.execute(workflow)
        # n8n looks once a minute for waits that are over.
        said = (await user.editor.until(execution, *DONE, limit=100)).output("Outcome")
        assert (said["outcome"], said["call_id"]) == ("no callback", CALL_ID)


async def test_call_events(user: User, started: Started, http: aiohttp.ClientSession) -> None:
    workflow = await user.sets_up(CALL_EVENTS)
    await user.editor.activate(workflow)
    url = f"{started.n8n.url}/webhook/{node(workflow, 'Gateway calls')['parameters']['path']}"

    async def received(body: dict[str, Any]) -> Run:
        known = await user.editor.executions(workflow["id"])
        async with http.post(url, json=body, headers=CALLBACK_HEADER) as answer:
            assert answer.status == 200, await answer.text()
        (run,) = await user.later(workflow, known, 1)
        return run

    async with http.post(url, json=event("call_ended")) as answer:
        assert answer.status == 403

    begun = (await received(event("call_started", "e1", call_status="ongoing"))).output(
        "Call started"
    )
    assert (begun["call_id"], begun["from_number"]) == (CALL_ID, "+15550199")
    ended = (await received(event("call_ended", "e2"))).output("Call ended")
    assert (ended["disconnection_reason"], ended["duration_ms"]) == ("user_hangup", 4059)
    report = {"turns": 3}
    analyzed = await received(event("call_analyzed", "e3", report=report))
    assert analyzed.output("Call analyzed")["report"] == report
    assert "Anything else" in (await received(event("transfer_started", "e4"))).nodes

    again = await received(event("call_ended", "e2"))
    assert again.status == "success"
    assert "Call ended" not in again.nodes
