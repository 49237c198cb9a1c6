"""Gateway and agent do not import each other: what one writes as JSON, the other reads."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import stamina
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent import monitor
from agent.context import CallContext, read_context
from agent.ending import Reason
from agent.profiles.variables import METADATA
from agent.record import Record
from agent.report import Reporter, ReportEvent, TransferKind
from agent.spool import Spool
from gateway.api.schemas.dispatch import AGENT_FIELDS
from gateway.api.schemas.report import AgentReportSchema
from gateway.api.schemas.transfer import TransferSchema
from gateway.calls.call import Call, Direction, EventKind
from gateway.calls.participants import Leg
from gateway.config.settings import KeyPair
from gateway.inbound.deduplication import agent_fields
from gateway.jambonz.hooks import CallHook
from gateway.livekit.metadata import job_metadata
from gateway.livekit.webhooks import WebhookVerifier, check_body
from tests.agent.worker_settings import KEY, SECRET, settings_for


def test_variables_have_the_names_of_the_gateways_fields() -> None:
    inbound = agent_fields(CallHook("sid", "", "", ""), "")
    assert sorted(METADATA) == sorted({*inbound, *AGENT_FIELDS})


def test_the_agent_reads_what_the_gateway_writes() -> None:
    call = Call(
        "call-1",
        Direction.INBOUND,
        "agent",
        1,
        from_number="+15550100",
        to_number="+15550199",
        caller_name="Zoë",
        account_code="em-tech-01",
        max_call_duration=60,
        caller=Leg("sip_+15550199"),
        jambonz={"call_sid": "6f1a", "sip_trunk_name": "my-carrier"},
        metadata={
            "ticket_id": "INC-1234",
            "destination": "+15550199",
            "asserted_identity": "+15550101",
            "diversion": "+15550102",
            "diversion_reason": "no-answer",
        },
    )
    extras = {"session_options": {"voice": "a"}, "audible_after": 1.5, "transfer_timeout": 140.0}
    text = job_metadata(call, own_url="https://gw.example.com", extras=extras)
    assert read_context(text) == CallContext(
        call_id="call-1",
        direction="inbound",
        from_number="+15550100",
        to_number="+15550199",
        report_url="https://gw.example.com/livekit-api/calls/call-1/report",
        max_call_duration=60,
        caller_identity="sip_+15550199",
        trunk="my-carrier",
        audible_after=1.5,
        transfer_timeout=140.0,
        metadata={
            "ticket_id": "INC-1234",
            "destination": "+15550199",
            "asserted_identity": "+15550101",
            "diversion": "+15550102",
            "diversion_reason": "no-answer",
        },
        session_options={"voice": "a"},
    )


@pytest.mark.parametrize("foreign", ["", "plain text", "[1]", "{}", '{"gateway": 5}'])
def test_a_job_that_another_program_dispatched_has_no_reports(foreign: str) -> None:
    assert read_context(foreign).report_url == ""


class Gateway:
    """Accepts reports as the gateway does, authentication included; responds with `statuses`."""

    def __init__(self, *statuses: int) -> None:
        self._statuses = list(statuses)
        self.reports: list[Any] = []

    async def on_report(self, request: web.Request) -> web.Response:
        body = await request.read()
        verify(WebhookVerifier([KeyPair(KEY, SECRET)]), request.headers.get("Authorization"), body)
        self.reports.append(AgentReportSchema().load(json.loads(body)))
        return web.Response(status=self._statuses.pop(0))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """The URL of its reports."""
        app = web.Application()
        app.router.add_post("/report", self.on_report)
        async with TestServer(app) as server:
            yield str(server.make_url("/report"))


def reporter_for(
    url: str, spool: Path = Path("/nonexistent"), *, key: str = KEY, secret: str = SECRET
) -> Reporter:
    return Reporter(url, job_id="AJ_1", settings=settings_for(spool, key, secret))


async def test_the_worker_delivers_what_a_job_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "SPOOL_INTERVAL", 0.01)
    gateway, spool = Gateway(503, 204), Spool(tmp_path)
    content = {"event": "agent_ended", "job_id": "AJ_1", "detail": "", "report": None}
    async with gateway.serving() as url:
        spool.store(url, json.dumps(content).encode())
        settings = settings_for(tmp_path)
        delivering = asyncio.create_task(monitor._deliver_stored(settings))
        async with asyncio.timeout(5):
            while list(spool.stored()):
                await asyncio.sleep(0.01)
        delivering.cancel()
    assert len(gateway.reports) == 2


@pytest.mark.field("C4")
async def test_the_gateway_accepts_the_report_of_an_answer() -> None:
    gateway = Gateway(204)
    app = web.Application()
    app.router.add_post("/report", gateway.on_report)
    async with TestServer(app) as server:
        await reporter_for(str(server.make_url("/report"))).report("answered")
    assert gateway.reports[0].kind is EventKind.ANSWERED


@pytest.mark.parametrize("reason", get_args(Reason))
async def test_the_gateway_accepts_each_reason_for_which_an_agent_ends_a_call(
    reason: Reason,
) -> None:
    gateway = Gateway(204)
    async with gateway.serving() as url:
        await reporter_for(url).report("agent_ended", "its words", disconnection_reason=reason)
    (report,) = gateway.reports
    assert report.reason == (reason or None)


@pytest.mark.parametrize("event", get_args(ReportEvent))
async def test_the_gateway_accepts_each_event_that_the_agent_reports(event: ReportEvent) -> None:
    gateway = Gateway(204)
    async with gateway.serving() as url:
        silence = {"at": 1, "duration_ms": 5} if event == "agent_silent" else None
        await reporter_for(url).report(event, silence=silence)
    assert gateway.reports[0].kind is EventKind(event)


@pytest.mark.parametrize("kind", get_args(TransferKind))
async def test_the_gateway_accepts_each_transfer_that_an_agent_asks_for(kind: TransferKind) -> None:
    bodies = []

    async def on_transfer(request: web.Request) -> web.Response:
        body = await request.read()
        verify(WebhookVerifier([KeyPair(KEY, SECRET)]), request.headers["Authorization"], body)
        bodies.append(TransferSchema().load(json.loads(body)))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/calls/call-1/report/transfer", on_transfer)
    async with TestServer(app) as server:
        url = str(server.make_url("/calls/call-1/report"))
        await reporter_for(url).request_transfer("+15550100", kind, "Zoë needs a date.")
    assert bodies == [{"target": "+15550100", "kind": kind, "summary": "Zoë needs a date."}]


async def report_to(gateway: Gateway) -> None:
    async with gateway.serving() as url:
        reporter = reporter_for(url)
        await reporter.report("agent_failed", "ValueError: no", Record().report())


async def test_the_gateway_accepts_what_the_agent_reports() -> None:
    gateway = Gateway(204)
    await report_to(gateway)
    (report,) = gateway.reports
    assert report.kind is EventKind.AGENT_FAILED
    assert (report.job_id, report.detail) == ("AJ_1", "ValueError: no")
    assert report.report == Record().report() | {"duration_ms": report.report["duration_ms"]}


async def test_a_report_is_retried_until_the_gateway_accepts_it() -> None:
    gateway = Gateway(503, 500, 204)
    await report_to(gateway)
    assert len(gateway.reports) == 3


async def test_a_report_is_stored_while_the_gateway_does_not_answer(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "spool"
    spool = Spool(folder)
    with stamina.set_testing(True, attempts=2):
        await reporter_for("http://127.0.0.1:9/", folder).report("agent_ended", "caller left")
    (report,) = spool.stored()
    assert report.url == "http://127.0.0.1:9/"
    assert json.loads(report.body)["detail"] == "caller left"
    report.delete()
    assert list(spool.stored()) == []


@pytest.mark.field("G1")
@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("status", [0, 503])
async def test_a_report_that_is_not_accepted_leaves_nothing_of_it_in_the_log(
    lost: bool,
    status: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What callers say, the keys they press, which may be a PIN, and the token."""
    if lost:
        (tmp_path / "spool").touch()
    record = Record()
    record.said("user", "my PIN is 1234")
    record.said("user", "[key 5]")
    gateway = Gateway(status, status)
    async with gateway.serving() as url:
        reporter = reporter_for(url if status else "http://127.0.0.1:9/", tmp_path / "spool")
        with caplog.at_level("DEBUG"), stamina.set_testing(True, attempts=2):
            await reporter.report("agent_ended", "caller left", record.report())
    assert len(gateway.reports) == (2 if status else 0)
    assert ("report.lost" in caplog.text) is lost
    assert "report.deferred" in caplog.text
    fields = " ".join(str(vars(entry)) for entry in caplog.records)
    written = capsys.readouterr()
    for text in (caplog.text, fields, written.out, written.err):
        for private in ("PIN", "[key", "Bearer", "eyJ"):
            assert private not in text


@pytest.mark.field("G2")
async def test_a_report_is_stored_when_the_jobs_process_is_ended(tmp_path: Path) -> None:
    gateway = Gateway(503)
    async with gateway.serving() as url:
        reporting = asyncio.create_task(reporter_for(url, tmp_path).report("agent_ended", "gone"))
        async with asyncio.timeout(10):
            while not gateway.reports:
                await asyncio.sleep(0.01)
        reporting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reporting
    (report,) = Spool(tmp_path).stored()
    assert json.loads(report.body)["detail"] == "gone"


async def test_nothing_is_reported_without_a_url() -> None:
    await reporter_for("").report("agent_ready")


def verify(verifier: WebhookVerifier, authorization: str | None, body: bytes = b"{}") -> None:
    check_body(verifier.signed_hash(authorization), body)
