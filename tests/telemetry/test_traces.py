"""A call is one trace, from its first request to its end, at each gateway and beyond."""

import pytest
import structlog
from livekit.protocol.room import CreateRoomRequest

from agent.context import read_context
from gateway.calls.call import Call, Direction
from gateway.livekit.metadata import restore_call, room_metadata
from gateway.storage.serialization import dump_call, load_call
from gateway.telemetry import tracing
from tests.api.test_dispatch import dispatch
from tests.callbacks.conftest import ALLOWED, hang_up
from tests.conftest import GatewayStarter, get_call, jambonz_for
from tests.fakes import jambonz_socket
from tests.fakes.collector import Collector, SeenSpan
from tests.fakes.livekit import FakeLiveKit, TwirpError
from tests.fakes.receiver import Receiver
from tests.livekit.server import redis_server
from tests.telemetry.conftest import inbound_call

JAMBONZ_TRACE = "0af7651916cd43dd8448eb211c80319c"
JAMBONZ_SPAN = "b7ad6b7169203331"


def roots(spans: list[SeenSpan]) -> list[SeenSpan]:
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id not in known]


async def test_an_inbound_call_is_one_trace(
    collector: Collector, start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={**ALLOWED, "urls": [receiver.url]})
    call_id = await inbound_call(gateway)
    await receiver.received(3)
    await collector.until(lambda: collector.named("call") and len(collector.named("POST")) == 3)
    (call,) = collector.named("call")
    spans = collector.trace(call.trace_id)
    assert spans == collector.spans, "all requests were about this call"
    names = [span.name for span in spans]
    assert {name: names.count(name) for name in set(names)} == {
        "POST /livekit-api": 1,
        "POST /livekit-api/call-status": 2,
        "POST /livekit-api/dial-action": 1,
        "POST /livekit/webhook": 2,
        "POST /livekit-api/calls/{call_id}/report": 2,
        "livekit.RoomService/CreateRoom": 1,
        "POST": 3,
        "call": 1,
    }
    (root,) = roots(spans)
    assert root.name == "POST /livekit-api"
    (room,) = collector.named("livekit.RoomService/CreateRoom")
    assert room.parent_id == root.span_id
    assert room.attributes["http.response.status_code"] == 200
    for span in spans:
        if span.name.startswith("POST /"):
            assert span.attributes["call.id"] == call_id
            assert span.attributes["http.route"] == span.name.removeprefix("POST ")
    assert call.events[0] == "registered"
    assert {"agent_ready", "hung_up"} <= set(call.events)
    assert call.attributes["call.disconnection_reason"] == "user_hangup"
    assert (await get_call(gateway, call_id))["trace_id"] == call.trace_id
    length = (call.span.end_time_unix_nano - call.span.start_time_unix_nano) / 1e9
    assert 0 < length < 60


async def test_what_gateways_share_is_one_trace(
    server_process: None, collector: Collector, start_gateway: GatewayStarter
) -> None:
    with redis_server() as address:
        env = {"REDIS_URL": f"redis://{address}/0"}
        storage = {"timeout": 5.0}
        gateways = [await start_gateway(env, storage=storage) for _ in range(2)]
        await inbound_call(*gateways)
        await collector.until(lambda: collector.named("call"))
        await collector.until(lambda: len(collector.named("EVALSHA update_call")) >= 7)
        (call,) = collector.named("call")
        # A span ends, and may be exported, before the one that it is part of.
        await collector.until(lambda: len(roots(collector.trace(call.trace_id))) == 1)
    (root,) = roots(collector.trace(call.trace_id))
    assert root.name == "POST /livekit-api"
    lookups = collector.named("EVALSHA find_by_call_sid")
    lookup = next(span for span in lookups if span.parent_id != root.span_id)
    assert lookup.trace_id == call.trace_id, "made before the call was known"
    assert lookup.attributes["db.system.name"] == "redis"
    for span in collector.named("POST /livekit-api/call-status"):
        assert span.trace_id == call.trace_id


@pytest.mark.parametrize(
    "header",
    [
        {"traceparent": f"00-{JAMBONZ_TRACE}-{JAMBONZ_SPAN}-01"},
        {"b3": f"{JAMBONZ_TRACE}-{JAMBONZ_SPAN}-1"},
    ],
    ids=["W3C", "Jambonz"],
)
async def test_the_trace_of_whoever_asks_goes_on_at_the_agent_and_n8n(
    collector: Collector,
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    receiver: Receiver,
    header: dict[str, str],
) -> None:
    gateway = await start_gateway(callbacks=ALLOWED)
    _, dispatched = await dispatch(gateway, headers=header, callback_url=receiver.url)
    await hang_up(gateway, dispatched["call_id"])
    await receiver.received(2)
    await collector.until(lambda: len(collector.named("POST")) == 2)
    (asked,) = collector.named("POST /dispatch")
    assert (asked.trace_id, asked.parent_id) == (JAMBONZ_TRACE, JAMBONZ_SPAN)
    room = next(it for _, it in fake_livekit.requests if isinstance(it, CreateRoomRequest))
    metadata = room.agents[0].metadata
    assert read_context(metadata).traceparent == f"00-{JAMBONZ_TRACE}-{asked.span_id}-01"
    sent = [f"00-{it.trace_id}-{it.span_id}-01" for it in collector.named("POST")]
    assert sorted(headers["traceparent"] for headers, _, _ in receiver.raw) == sorted(sent)
    assert {span.trace_id for span in collector.spans} == {JAMBONZ_TRACE}


async def test_a_trace_that_is_not_sampled_is_not_exported(
    collector: Collector, start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks=ALLOWED)
    header = {"traceparent": f"00-{JAMBONZ_TRACE}-{JAMBONZ_SPAN}-00"}
    _, dispatched = await dispatch(gateway, headers=header, callback_url=receiver.url)
    await hang_up(gateway, dispatched["call_id"])
    await receiver.received(2)
    await dispatch(gateway)
    await collector.until(lambda: collector.named("POST /dispatch"))
    assert not collector.trace(JAMBONZ_TRACE)
    assert {headers["traceparent"][-3:] for headers, _, _ in receiver.raw} == {"-00"}


async def test_hooks_over_a_socket_are_in_jambonz_trace(
    collector: Collector, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(jambonz_socket.ENV)
    async with jambonz_socket.open_socket(gateway) as socket:
        leg = jambonz_for(gateway)._leg("trying", 100)
        message = {"type": "session:new", "msgid": "m1", "data": {**leg, "sip": {"headers": {}}}}
        await socket.send_json({**message, "b3": f"{JAMBONZ_TRACE}-{JAMBONZ_SPAN}-1"})
        assert (await socket.receive_json(timeout=10))["type"] == "ack"
    await collector.until(lambda: collector.named("POST /livekit-api"))
    (hook,) = collector.named("POST /livekit-api")
    assert (hook.trace_id, hook.parent_id) == (JAMBONZ_TRACE, JAMBONZ_SPAN)


async def test_a_failure_is_named_by_its_kind_alone(
    collector: Collector, start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.failures.append(TwirpError(403, "permission_denied", "who is +15550100?"))
    gateway = await start_gateway()
    status, _ = await dispatch(gateway)
    assert status == 502
    await collector.until(lambda: collector.named("POST /dispatch"))
    (request,) = collector.named("livekit.RoomService/CreateRoom")
    assert request.has_failed
    assert request.attributes["error.type"] == "403"
    (asked,) = collector.named("POST /dispatch")
    assert asked.has_failed
    assert asked.attributes["error.type"] == "502"


async def test_no_span_names_a_person(
    collector: Collector, start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={**ALLOWED, "urls": [f"{receiver.url}/secret-path"]})
    await inbound_call(gateway)
    await dispatch(gateway, metadata={"name": "Zoe Secret"}, caller_name="Zoe Secret")
    async with gateway.post("/livekit-api/calls/+15550100/report", data=b"{}"):
        pass
    await receiver.received(3)
    await collector.until(lambda: collector.named("call") and collector.named("POST /dispatch"))
    exported = b"".join(collector.raw)
    assert b"POST /dispatch" in exported
    for personal in (b"5550100", b"5550199", b"491570156", b"Zoe", b"Simulated", b"secret"):
        assert personal not in exported


async def test_strangers_and_readers_leave_no_span(
    collector: Collector, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway()
    for path in ("/livekit-api", "/dispatch", "/livekit/webhook", "/nowhere"):
        header = {"traceparent": f"00-{JAMBONZ_TRACE}-{JAMBONZ_SPAN}-01"}
        async with gateway.post(path, data=b"{}", headers=header) as answer:
            assert answer.status in {401, 404}
    await get_call(gateway, await inbound_call(gateway))
    await collector.until(lambda: collector.named("call"))
    assert {span.attributes.get("http.request.method", "POST") for span in collector.spans} == {
        "POST"
    }
    assert len({span.trace_id for span in collector.spans}) == 1


async def test_log_lines_have_the_ids_of_the_trace(
    collector: Collector, start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={**ALLOWED, "urls": [receiver.url]})
    lines = structlog.testing.LogCapture()
    processors = structlog.get_config()["processors"]
    structlog.configure(processors=[tracing.add_ids, lines])
    try:
        await inbound_call(gateway)
        await receiver.received(3)
        await collector.until(lambda: collector.named("call") and len(collector.named("POST")) == 3)
    finally:
        structlog.configure(processors=processors)
    (call,) = collector.named("call")
    spans = {span.span_id for span in collector.trace(call.trace_id)}
    seen = {line["event"]: line for line in lines.entries}
    assert {"call.registered", "call.ended", "callback.delivered"} <= seen.keys()
    for name in ("call.registered", "call.ended", "callback.delivered"):
        assert seen[name]["trace_id"] == call.trace_id
        assert seen[name]["span_id"] in spans


def test_ids_in_a_restored_room_lead_to_the_same_trace() -> None:
    traceparent = f"00-{JAMBONZ_TRACE}-{JAMBONZ_SPAN}-01"
    call = Call("call-1", Direction.INBOUND, "agent", 1, traceparent=traceparent)
    own_url = "https://gw.example.com"
    restored = restore_call(room_metadata(call, own_url=own_url), room="call-1", own_url=own_url)
    assert restored
    assert restored.traceparent == traceparent
    assert load_call(dump_call(call), "call-1").traceparent == traceparent
