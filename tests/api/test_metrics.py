"""`GET /metrics`: what is counted of calls and requests, and that it names nobody."""

import asyncio
import re
from typing import Any

import pytest

from gateway.calls.conversation import ConversationProblem
from gateway.errors import StorageUnavailable
from tests.api.test_dispatch import dispatch
from tests.api.test_livekit import registered, tell
from tests.conftest import READ_KEY, Client, GatewayStarter, get_call, jambonz_for
from tests.fakes.livekit import Drop, FakeLiveKit, Raw, TwirpError
from tests.fakes.receiver import Receiver
from tests.livekit.server import redis_server
from tests.prometheus import Numbers

HOOK = "POST /livekit-api"
REFUSAL = TwirpError(400, "invalid_argument", "no")
REPORT: dict[str, Any] = {
    "pipeline": "voice",
    "transcript": [{"at": 5, "role": "agent", "text": "Hello"}],
    "first_audio_ms": 4_000,
    "turns": [{"at": 5, "latency_ms": 700}, {"at": 6, "latency_ms": 2_500}],
    "unanswered": [{"at": 7, "duration_ms": 2_100}],
    "stalls": [{"at": 10_000, "duration_ms": 8_000}],
    "packets": {"from_caller": {"received": 90, "lost": 10}, "to_caller": None},
}


async def numbers(gateway: Client, key: str = READ_KEY) -> Numbers:
    async with gateway.get("/metrics", headers={"Authorization": f"Bearer {key}"}) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        return Numbers(await response.text())


async def whole_call(gateway: Client) -> str:
    """A call with everything that is counted."""
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    call_id: str = dial["headers"]["X-Call-Id"]
    await tell(gateway, call_id, "agent_ready")
    await tell(gateway, call_id, "answered")
    await jambonz.status("completed")
    await tell(gateway, call_id, "agent_report", report=REPORT)
    return call_id


async def test_a_call_is_counted_from_its_hook_to_its_report(gateway: Client) -> None:
    await whole_call(gateway)
    found = await numbers(gateway)
    inbound = {"direction": "inbound"}
    assert found("gateway_calls_registered_total", **inbound) == 1
    assert found("gateway_calls_answered_total", **inbound) == 1
    ended = {"status": "ended", "reason": "user_hangup"}
    assert found("gateway_calls_ended_total", **inbound, **ended) == 1
    assert found("gateway_call_duration_seconds_count", **inbound) == 1
    assert found("gateway_agent_ready_seconds_count", **inbound) == 1
    assert found("gateway_first_audio_seconds_sum") == 4
    assert found("gateway_turn_seconds_count") == 2
    assert found("gateway_turn_seconds_bucket", le="0.75") == 1
    assert found("gateway_agent_silences_total") == 1
    assert found("gateway_agent_silence_seconds_sum") == 8
    assert found("gateway_unanswered_speech_total") == 1
    assert found("gateway_audio_packets_total", direction="from_caller", outcome="lost") == 10
    assert found("gateway_conversations_total", verdict="silent_agent") == 1
    assert found("gateway_active_calls", **inbound) == 0
    assert found("gateway_http_request_duration_seconds_count", endpoint=HOOK) == 1
    assert found("gateway_livekit_request_duration_seconds_count", method="CreateRoom") == 1


async def test_what_an_alert_looks_at_is_there_before_it_happens(gateway: Client) -> None:
    found = await numbers(gateway)
    assert found("gateway_agent_silences_total") == 0
    assert found("gateway_callbacks_dropped_total") == 0
    for verdict in (*ConversationProblem, "good", "unknown"):
        assert found("gateway_conversations_total", verdict=verdict) == 0
    for direction in ("inbound", "outbound"):
        assert found("gateway_calls_registered_total", direction=direction) == 0
        no_agent = {"direction": direction, "status": "error", "reason": "no_agent"}
        assert found("gateway_calls_ended_total", **no_agent) == 0
    failed = {"event": "call_analyzed", "status": "failed"}
    assert found("gateway_callbacks_total", **failed) == 0
    assert found("gateway_requests_shed_total", limit="overloaded") == 0
    for part in ("livekit", "storage"):
        assert found("gateway_part_available", part=part) == 1
    assert found("gateway_draining") == 0
    assert found("process_cpu_seconds_total")


async def test_a_silence_is_counted_while_it_lasts_and_once(gateway: Client) -> None:
    call_id = await registered(gateway)
    await tell(gateway, call_id, "answered")
    for duration in (5_000, 8_000):
        silence = {"at": 20_000, "duration_ms": duration}
        await tell(gateway, call_id, "agent_silent", silence=silence)
        assert (await numbers(gateway))("gateway_agent_silences_total") == 1
    await tell(gateway, call_id, "agent_ended", disconnection_reason="agent_hangup")
    report = {**REPORT, "stalls": [{"at": 20_400, "duration_ms": 7_500}]}
    await tell(gateway, call_id, "agent_report", report=report)
    found = await numbers(gateway)
    assert found("gateway_agent_silences_total") == 1
    assert found("gateway_agent_silence_seconds_sum") == 8


async def events_of(gateway: Client, call_id: str) -> list[str]:
    return [entry["event"] for entry in (await get_call(gateway, call_id))["timeline"]]


async def test_a_call_whose_agent_reports_nothing_has_no_verdict(
    start_gateway: GatewayStarter,
) -> None:
    gateway = await start_gateway(callbacks={"report_timeout": 1}, monitor={"interval": 0.05})
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    await jambonz.status("in-progress")
    await jambonz.status("completed")
    async with asyncio.timeout(20):
        while "report_missed" not in await events_of(gateway, dial["headers"]["X-Call-Id"]):
            await asyncio.sleep(0.05)
    assert (await numbers(gateway))("gateway_conversations_total", verdict="unknown") == 1


async def test_nobody_can_be_told_from_the_numbers(gateway: Client) -> None:
    call_id = await whole_call(gateway)
    async with gateway.get("/livekit-api/calls/call-nobody", headers={"X-API-Key": READ_KEY}):
        pass
    async with gateway.get("/secret/path-of-a-stranger?key=1"):
        pass
    call = await get_call(gateway, call_id)
    found = await numbers(gateway)
    for private in (call_id, "call-nobody", "stranger", call["from_number"], call["agent_name"]):
        assert private.strip("+") not in found.text
    allowed = {"direction", "status", "reason", "verdict", "outcome", "endpoint", "method"}
    allowed |= {"error", "event", "workload", "limit", "part", "version", "strategy", "le"}
    assert {label for sample in found.samples for label in sample.labels} <= allowed
    assert found("gateway_http_request_failures_total", endpoint="other", error="404") == 1
    path = "GET /livekit-api/calls/{call_id}"
    assert found("gateway_http_request_failures_total", endpoint=path, error="404") == 1


async def test_two_gateways_of_one_process_count_apart(start_gateway: GatewayStarter) -> None:
    one, other = await start_gateway(), await start_gateway()
    await registered(one)
    inbound = {"direction": "inbound"}
    assert (await numbers(one))("gateway_calls_registered_total", **inbound) == 1
    assert (await numbers(other))("gateway_calls_registered_total", **inbound) == 0


async def test_requests_to_livekit_that_fail_are_told_apart(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.failures.extend([Drop(), Raw(502, b"<h1>Bad Gateway</h1>"), REFUSAL])
    await jambonz_for(gateway).call_arrives()
    found = await numbers(gateway)
    for error in ("no_answer", "failed", "refused"):
        labels = {"method": "CreateRoom", "error": error}
        assert found("gateway_livekit_request_failures_total", **labels) == 1


async def test_callbacks_are_counted_with_their_repetitions(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    receiver.answer = lambda number: 500 if number == 1 else 410
    gateway = await start_gateway(callbacks={"urls": [f"{receiver.url}/done"]})
    await whole_call(gateway)
    await receiver.received(3)
    found = await numbers(gateway)
    started = {"event": "call_started"}
    assert found("gateway_callback_retries_total", **started) == 1
    assert found("gateway_callback_failures_total", **started, error="5xx") == 1
    assert found("gateway_callbacks_total", **started, status="failed") == 1
    assert found("gateway_callback_duration_seconds_count", **started) == 2


async def test_requests_beyond_a_limit_are_counted(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(limits={"dispatch_rate": 0.01, "dispatch_burst": 1})
    for _ in range(3):
        await dispatch(gateway)
    found = await numbers(gateway)
    assert found("gateway_requests_shed_total", limit="too_many_requests") == 2


async def test_commands_to_redis_are_counted_by_their_script(
    start_gateway: GatewayStarter, server_process: None
) -> None:
    with redis_server() as address:
        gateway = await start_gateway({"REDIS_URL": f"redis://{address}"})
        await whole_call(gateway)
        found = await numbers(gateway)
        await gateway.close()
    name = "gateway_storage_request_duration_seconds_count"
    # A script that Redis does not know yet is sent twice.
    assert found(name, command="register_call") == 2
    assert (found(name, command="update_call") or 0) >= 4
    commands = {it.labels["command"] for it in found.samples if it.name == name}
    assert len(commands) < 40
    assert all(re.fullmatch(r"[A-Z]+|[a-z_]+", command) for command in commands)
    assert found("gateway_active_calls", direction="inbound") == 0
    assert found("gateway_agent_silences_total") == 1


async def test_numbers_of_storage_are_missing_while_it_does_not_answer(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> int:
        raise StorageUnavailable("Redis: no answer in time")

    monkeypatch.setattr("gateway.storage.memory.registry.MemoryRegistry.count_active", away)
    found = await numbers(gateway)
    assert "gateway_active_calls" not in found.names
    assert "gateway_callbacks_pending" not in found.names
    assert found("gateway_deferred_writes") == 0


async def test_prometheus_needs_no_key_where_its_address_is_listed(
    start_gateway: GatewayStarter,
) -> None:
    security = {"metrics_addresses": ["192.0.2.0/24"], "trusted_proxies": ["127.0.0.0/8"]}
    gateway = await start_gateway(security=security)
    for address, status in (("192.0.2.7", 200), ("198.51.100.7", 401)):
        async with gateway.get("/metrics", headers={"X-Forwarded-For": address}) as response:
            assert response.status == status
    listed = {"X-Forwarded-For": "192.0.2.7"}
    async with gateway.get("/livekit-api/calls", headers=listed) as response:
        assert response.status == 401


async def test_numbers_are_for_those_with_a_key(gateway: Client) -> None:
    for headers in ({}, {"X-API-Key": "wrong"}):
        async with gateway.get("/metrics", headers=headers) as response:
            assert response.status == 401
