"""The built node's requests to a gateway with the fake LiveKit: both sides mean the same API."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.n8n_node.package import JSON, execute

pytestmark = pytest.mark.usefixtures("built_package")

LIST: JSON = {"operation": "dispatch", "dataToSend": "autoMapInputData", "account_code": "em-01"}


async def run(client: Client, *operations: JSON, **others: Any) -> list[list[JSON]]:
    """For each of the nodes with these parameters the `json` of the items that it returns."""
    same = {
        "url": str(client.make_url("/")),
        "apiKey": DISPATCH_KEY,
        "onError": "continueRegularOutput",
    }
    return await execute(*({**same, **others, "parameters": given} for given in operations))


async def test_rows_are_called_and_each_knows_what_came_of_it(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees["15550101"] = Callee(sip=(486, "Busy Here"))
    rows = [
        {"row": 1, "destination": 15550100, "caller_name": "", "Name": "Łucja"},
        {"row": 2, "destination": "15550101"},
        {"row": 3, "destination": "not a number", "session_options": ""},
        {"row": 4, "destination": ""},
    ]
    (good, busy, wrong, empty), again = await run(gateway, LIST, LIST, items=rows)
    assert (good["row"], good["metadata"]["Name"]) == (1, "Łucja")
    assert (busy["row"], busy["status"], busy["message"]) == (2, 502, "486 Busy Here")
    assert busy["call_id"]
    assert (wrong["row"], wrong["status"], list(wrong["details"])) == (3, 422, ["destination"])
    assert (empty["row"], empty["status"], list(empty["details"])) == (4, 422, ["destination"])

    assert [item.get("call_id") for item in again[:2]] == [good["call_id"], busy["call_id"]]
    by_key = {"idempotency_key": busy["idempotency_key"]}
    ((found,),) = await run(gateway, {"operation": "getMany", "filters": by_key})
    assert (found["call_id"], found["disconnection_reason"]) == (busy["call_id"], "dial_busy")


async def test_every_field_is_one_of_the_gateway(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={"allowed_hosts": [urlsplit(receiver.url).netloc]})
    parameters = {
        "operation": "dispatch",
        "destination": "+15550100",
        "account_code": "em-01",
        "metadata": {"values": [{"name": "ticket", "value": "INC-1"}]},
        "additionalFields": {
            "transfer_target": "+15550101",
            "caller_id": "desk",
            "caller_number": "+15550199",
            "caller_name": "Support",
            "agent_name": "nehos-outbound-agent",
            "session_options": "{}",
            "max_call_duration": 600,
            "ringing_timeout": 30,
            "record_call": True,
            "wait": "none",
            "callback_url": receiver.url,
            "callback_events": ["call_ended"],
            "idempotency_key": "ticket-INC-1",
        },
    }
    ((call,),) = await run(gateway, parameters)
    assert call["call_status"], call
    assert call["metadata"]["ticket"] == "INC-1"


async def test_calls_are_listed_read_transferred_and_ended(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(transfer={"allowed": ["sip:desk@example.com"]})
    rows = [{"destination": f"1555010{number}"} for number in range(3)]
    limited = {"operation": "getMany", "limit": 2}
    called, newest, everything = await run(
        gateway, LIST, limited, {"operation": "getMany", "returnAll": True}, items=rows
    )
    ids = [call["call_id"] for call in called]
    assert [call["call_id"] for call in newest] == ids[:0:-1] * len(rows)
    assert [call["call_id"] for call in everything] == ids[::-1] * len(rows)

    transfer = {"operation": "transfer", "target": "sip:desk@example.com"}
    (read,), (ended,), active, (transferred,), (late,), (unknown,) = await run(
        gateway,
        {"operation": "get", "call_id": ids[0]},
        {"operation": "hangUp", "call_id": ids[0]},
        {"operation": "getMany", "includeEnded": False},
        {**transfer, "call_id": ids[1]},
        {**transfer, "call_id": ids[0]},
        {"operation": "get", "call_id": "no/such call"},
    )
    assert (read["call_id"], read["to_number"]) == (ids[0], "15550100")
    assert ended["disconnection_reason"] == "manual_stopped"
    assert [call["call_id"] for call in active] == ids[:0:-1]
    assert transferred["call_id"] == ids[1], transferred
    assert (late["status"], late["error"]) == (409, "not_ongoing")
    assert (unknown["status"], unknown["error"]) == (404, "not_found")


async def test_a_full_gateway_is_asked_again_when_it_says(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(limits={"dispatch_rate": 1, "dispatch_burst": 1})
    rows = [{"destination": "15550100"}, {"destination": "15550101"}]
    ((first, second),) = await run(gateway, LIST, items=rows)
    assert first["call_id"] != second["call_id"]


async def test_a_key_without_the_role_is_named(gateway: Client) -> None:
    ((refused,),) = await run(gateway, LIST, items=[{"destination": 1}], apiKey=READ_KEY)
    assert (refused["status"], refused["error"]) == (403, "forbidden")
