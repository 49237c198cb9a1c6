"""The node "Jambonz LiveKit Gateway" in a real n8n, with the gateway; only LiveKit is a fake."""

import pytest

from tests.conftest import Client, GatewayStarter, get_call
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.n8n.conftest import NodeUser, gateway_url
from tests.n8n.editor import JSON

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)

BUSY, WRONG, FREE = "+15550101", "not a number", "+15550100"


def row(destination: str, **columns: object) -> JSON:
    return {"destination": destination, "account_code": "em-tech-01", **columns}


class TestCredentials:
    async def test_the_gateways_url_and_key_are_right(self, node: NodeUser) -> None:
        result = await node.editor.test_credential(node.credential, node.credential_data)
        assert result == {"status": "OK", "message": "Connection successful!"}

    @pytest.mark.parametrize("wrong", [{"apiKey": "guessed"}, {"url": "http://127.0.0.1:9"}])
    async def test_a_wrong_one_is_told(self, node: NodeUser, wrong: JSON) -> None:
        data = node.credential_data | wrong
        result = await node.editor.test_credential(node.credential, data)
        assert result["status"] == "Error"


class TestDispatch:
    async def test_a_row_is_a_call(self, node: NodeUser, gateway: Client) -> None:
        rows = [row(FREE, caller_number="+15550199", caller_name="", ticket_id="INC-1234")]
        (output,) = (await node.executed(rows)).outputs("Gateway")
        call = await get_call(gateway, output["call_id"])
        assert call["call_status"] == "ongoing"
        assert (call["to_number"], call["from_number"]) == (FREE, "+15550199")
        assert call["metadata"]["ticket_id"] == "INC-1234"
        assert "caller_name" not in call["metadata"]

    async def test_fields_are_filled_in_the_panel(self, node: NodeUser, gateway: Client) -> None:
        metadata = {"values": [{"name": "ticket_id", "value": "INC-1234"}]}
        execution = await node.executed(
            [{}],
            dataToSend="defineBelow",
            destination=FREE,
            account_code="em-tech-01",
            metadata=metadata,
            additionalFields={"caller_number": "+15550199", "record_call": True},
        )
        call = await get_call(gateway, execution.output("Gateway")["call_id"])
        assert (call["from_number"], call["metadata"]["ticket_id"]) == ("+15550199", "INC-1234")

    async def test_letters_beyond_latin_1_arrive(self, node: NodeUser, gateway: Client) -> None:
        key = "Łódź-1"
        execution = await node.executed([row(FREE, city="Łódź", idempotency_key=key)] * 2)
        first, second = execution.outputs("Gateway")
        assert first["call_id"] == second["call_id"]
        assert (await get_call(gateway, first["call_id"]))["metadata"]["city"] == "Łódź"

    async def test_a_refusal_stays_with_its_row(
        self, node: NodeUser, fake_livekit: FakeLiveKit
    ) -> None:
        fake_livekit.callees[BUSY] = Callee(sip=(486, "Busy Here"))
        node.settings["onError"] = "continueRegularOutput"
        execution = await node.executed([row(BUSY), row(WRONG), row(FREE)])
        assert execution.sources("Gateway") == [0, 1, 2]
        busy, wrong, free = execution.outputs("Gateway")
        assert (busy["status"], busy["sip"]["status_code"]) == (502, 486)
        assert busy["call_id"].startswith("outbound-")
        assert (wrong["status"], list(wrong["details"])) == (422, ["destination"])
        assert free["call_status"] == "ongoing"

    async def test_a_refusal_leaves_by_the_error_output_with_its_row(
        self, node: NodeUser, fake_livekit: FakeLiveKit
    ) -> None:
        fake_livekit.callees[BUSY] = Callee(sip=(486, "Busy Here"))
        node.settings["onError"] = "continueErrorOutput"
        execution = await node.executed([row(BUSY, ticket_id="INC-1234")])
        output = execution.output("Gateway")
        assert (output["destination"], output["ticket_id"]) == (BUSY, "INC-1234")
        assert output["error"]["status"] == 502
        assert output["error"]["call_id"].startswith("outbound-")

    async def test_an_error_names_the_field(self, node: NodeUser) -> None:
        execution = await node.executed([row(WRONG)])
        assert execution.status == "error"
        assert execution.error
        assert execution.error["message"].startswith("destination: ")

    async def test_a_gateway_that_is_away_is_an_error(self, node: NodeUser) -> None:
        await node.use("http://127.0.0.1:9")
        execution = await node.executed([row(FREE)], retryFor=1)
        assert execution.error
        assert "does not answer" in execution.error["message"]


async def test_the_gateway_url_may_end_in_a_slash(node: NodeUser, gateway: Client) -> None:
    await node.use(gateway_url(gateway) + "/")
    assert (await node.executed([row(FREE)])).status == "success"


class TestCalls:
    @pytest.fixture
    async def call_id(self, node: NodeUser) -> str:
        call_id: str = (await node.executed([row(FREE)])).output("Gateway")["call_id"]
        return call_id

    async def test_get(self, node: NodeUser, call_id: str) -> None:
        output = (await node.executed([{}], operation="get", call_id=call_id)).output("Gateway")
        assert (output["call_id"], output["to_number"]) == (call_id, FREE)

    async def test_a_call_that_there_is_not(self, node: NodeUser) -> None:
        execution = await node.executed([{}], operation="get", call_id="outbound-0000000000")
        assert execution.error
        assert execution.error["httpCode"] == "404"

    async def test_hang_up(self, node: NodeUser, gateway: Client, call_id: str) -> None:
        execution = await node.executed([{}], operation="hangUp", call_id=call_id)
        assert execution.output("Gateway")["call_id"] == call_id
        call = await get_call(gateway, call_id)
        assert (call["call_status"], call["disconnection_reason"]) == ("ended", "manual_stopped")

    async def test_transfer(self, node: NodeUser, start_gateway: GatewayStarter) -> None:
        gateway = await start_gateway(transfer={"allowed": ["+1555*"]})
        await node.use(gateway_url(gateway))
        call_id = (await node.executed([row(FREE)])).output("Gateway")["call_id"]
        execution = await node.executed(
            [{}], operation="transfer", call_id=call_id, target="+15550102", kind="cold"
        )
        assert execution.status == "success", execution.error
        assert (await get_call(gateway, call_id))["transfer"]["target"] == "+15550102"

    async def test_get_many_takes_page_after_page(
        self, node: NodeUser, start_gateway: GatewayStarter
    ) -> None:
        gateway = await start_gateway(
            outbound={"max_active_calls": 500},
            limits={"dispatch_rate": 1000.0, "dispatch_burst": 1000},
        )
        await node.use(gateway_url(gateway))
        await node.executed([row(f"+1555{number:04}") for number in range(210)])
        execution = await node.executed([{}], operation="getMany", returnAll=True)
        assert len({call["call_id"] for call in execution.outputs("Gateway")}) == 210
        execution = await node.executed([{}], operation="getMany", limit=3)
        assert len(execution.outputs("Gateway")) == 3
        filters = {"to_number": "+15550007", "status": "ongoing"}
        execution = await node.executed([{}], operation="getMany", returnAll=True, filters=filters)
        (call,) = execution.outputs("Gateway")
        assert call["to_number"] == "+15550007"
