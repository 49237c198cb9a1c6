"""Requests for a transfer at the same time: one is carried out, the others are refused."""

import asyncio
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.sip import TransferSIPParticipantRequest

from gateway.api.services import SERVICES
from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.calls.outcomes import Transfer, TransferKind, TransferRequest
from gateway.calls.transitions import transition
from gateway.tools.simulate.jambonz import HookRefused
from tests.conftest import Client, GatewayStarter, get_call
from tests.fakes.livekit import Drop, FakeLiveKit, TwirpError
from tests.transfers.test_transfers import (
    SETTINGS,
    TARGET,
    AnsweredCall,
    answered,
    dispatched,
    request_transfer,
)

SIP = ParticipantInfo.Kind.SIP
NOT_IMPLEMENTED = TwirpError(
    400, "unimplemented", "no", {"sip_status_code": "501", "sip_status": "Not Implemented"}
)


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(**SETTINGS)


@pytest.fixture
async def call(gateway: Client, fake_livekit: FakeLiveKit) -> AnsweredCall:
    talking = await answered(gateway)
    fake_livekit.add_participant(talking.call_id, SIP, "sip_+15550100", {"sip.ruleID": "SDR_1"})
    return talking


async def five_at_once(gateway: Client, call_id: str) -> Counter[tuple[int, str]]:
    """The status and the error of each of five requests at once."""
    answers = await asyncio.gather(
        *(request_transfer(gateway, call_id, {"target": TARGET}) for _ in range(5))
    )
    return Counter((status, body.get("error", "")) for status, body in answers)


@pytest.mark.field("C12")
async def test_of_five_requests_for_an_inbound_call_one_sends_a_refer(
    gateway: Client, fake_livekit: FakeLiveKit, call: AnsweredCall
) -> None:
    answers = await five_at_once(gateway, call.call_id)
    assert answers == {(200, ""): 1, (409, "transfer_pending"): 4}
    assert len(fake_livekit.requested(TransferSIPParticipantRequest)) == 1
    # Jambonz posts that REFER now, and the transfer begins.
    assert (await call.refer())[0]["verb"] == "dial"
    assert (await call.get_call())["transfer"]["target"] == TARGET


@pytest.mark.field("C12")
async def test_of_five_requests_for_an_outbound_call_one_sends_a_refer(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    answers = await five_at_once(gateway, await dispatched(gateway))
    assert answers[(200, "")] == 1
    assert sum(count for (status, _), count in answers.items() if status == 409) == 4
    assert len(fake_livekit.requested(TransferSIPParticipantRequest)) == 1


@pytest.mark.field("C12")
async def test_two_gateways_that_have_read_the_call_at_once_send_one_refer(
    gateway: Client, fake_livekit: FakeLiveKit, call: AnsweredCall
) -> None:
    assert gateway.app
    services = gateway.app[SERVICES]
    stored = await services.storage.registry.get(call.call_id)
    assert stored
    outcomes = await asyncio.gather(
        *(services.transfers.request(stored, TARGET, by="n8n") for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Call) for outcome in outcomes) == 1
    assert len(fake_livekit.requested(TransferSIPParticipantRequest)) == 1


@pytest.mark.field("C12")
@pytest.mark.parametrize("failure", [NOT_IMPLEMENTED, Drop()])
async def test_after_a_refer_that_failed_another_may_be_sent(
    gateway: Client, fake_livekit: FakeLiveKit, call: AnsweredCall, failure: TwirpError | Drop
) -> None:
    if isinstance(failure, TwirpError):
        fake_livekit.transfer_error = failure
    else:
        fake_livekit.failures.extend([None, failure])
    status, _ = await request_transfer(gateway, call.call_id, {"target": TARGET})
    assert status in {502, 503}
    shown_call = await call.get_call()
    assert (shown_call["call_status"], shown_call["transfer"]) == ("ongoing", None)
    assert shown_call["timeline"][-1]["event"] == "transfer_refused"
    fake_livekit.transfer_error = None
    status, _ = await request_transfer(gateway, call.call_id, {"target": TARGET})
    assert status == 200


@pytest.mark.field("C12")
async def test_livekits_late_error_does_not_end_a_transfer_that_jambonz_has_begun(
    gateway: Client, fake_livekit: FakeLiveKit, call: AnsweredCall
) -> None:
    assert gateway.app
    services = gateway.app[SERVICES]
    fake_livekit.failures.extend([None, Drop()])
    requested = asyncio.create_task(request_transfer(gateway, call.call_id, {"target": TARGET}))
    async with asyncio.timeout(10):
        while not fake_livekit.requested(TransferSIPParticipantRequest):
            await asyncio.sleep(0)
    started = Event(
        EventKind.TRANSFER_STARTED,
        services.clock(),
        transfer=Transfer(TARGET, services.clock(), refer_sid=call.jambonz.far_sid),
    )
    await services.lifecycle.apply(call.call_id, started)
    await requested
    shown_call = await get_call(gateway, call.call_id)
    assert shown_call["transfer"]["ended_at"] is None


@pytest.mark.field("C12")
async def test_refers_to_two_targets_at_once_start_one_transfer(
    gateway: Client, call: AnsweredCall
) -> None:
    answers = await asyncio.gather(
        call.refer(), call.refer("<tel:+61491570157>"), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, HookRefused)]
    assert len(refused) == 1
    assert "answered 409" in str(refused[0])


def requested(request_id: str, at: int, lasts: int = 40_000) -> Event:
    request = TransferRequest(request_id, at + lasts)
    return Event(EventKind.TRANSFER_REQUESTED, at, transfer_request=request)


@pytest.mark.field("C12")
def test_a_request_holds_until_it_expires_or_the_transfer_begins() -> None:
    call: Any = Call("call-1", Direction.INBOUND, "agent", 1, answer_timestamp=2)
    first = transition(call, requested("a", 10))
    assert first.transfer_request == TransferRequest("a", 40_010)
    assert transition(first, requested("b", 11)).transfer_request == first.transfer_request
    later = transition(first, requested("c", 40_010))
    assert later.transfer_request == TransferRequest("c", 80_010)
    started = Event(EventKind.TRANSFER_STARTED, 12, transfer=Transfer(TARGET, 12))
    during = transition(first, started)
    assert during.transfer_request is None
    assert transition(during, requested("d", 13)).transfer_request is None
    refused = transition(first, Event(EventKind.TRANSFER_REFUSED, 12))
    assert replace(refused, timeline=()) == replace(call, timeline=())


def test_a_request_ends_with_the_transfer_that_it_was_for() -> None:
    """An agent that dials somebody itself does not begin the announced one that was asked for."""
    call: Any = Call("call-1", Direction.INBOUND, "agent", 1, answer_timestamp=2)
    for kind, is_over in ((TransferKind.WARM, True), (TransferKind.ANNOUNCED, False)):
        request = TransferRequest("a", 40_000, TARGET, kind)
        held = transition(call, Event(EventKind.TRANSFER_REQUESTED, 10, transfer_request=request))
        warm = Transfer(TARGET, 12, kind=TransferKind.WARM)
        begun = transition(held, Event(EventKind.TRANSFER_STARTED, 12, transfer=warm))
        assert (begun.transfer_request is None) is is_over
