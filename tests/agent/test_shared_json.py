"""Gateway and agent do not import each other: what one writes as JSON, the other reads."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stamina
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent import monitor
from agent.context import CallContext, read_context
from agent.record import Record
from agent.report import Reporter
from agent.settings import WorkerSettings
from agent.spool import Spool
from gateway.api.schemas.report import AgentReportSchema
from gateway.calls.call import Call, Direction, EventKind
from gateway.config.settings import KeyPair
from gateway.livekit.metadata import job_metadata
from gateway.livekit.webhooks import AuthenticationFailed, WebhookVerifier, check_body

KEY, SECRET = "key", "a-secret-of-at-least-thirty-two-bytes"


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
        metadata={"ticket_id": "INC-1234", "destination": "+15550199"},
    )
    extras = {"session_options": {"voice": "a"}, "audible_after": 1.5}
    text = job_metadata(call, own_url="https://gw.example.com", extras=extras)
    assert read_context(text) == CallContext(
        call_id="call-1",
        direction="inbound",
        from_number="+15550100",
        to_number="+15550199",
        report_url="https://gw.example.com/livekit-api/calls/call-1/report",
        max_call_duration=60,
        audible_after=1.5,
        metadata={
            "ticket_id": "INC-1234",
            "destination": "+15550199",
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


def settings_for(spool: Path, key: str = KEY, secret: str = SECRET) -> WorkerSettings:
    return WorkerSettings("agent", key, secret, "", 0, 1.0, 1, spool)


def reporter_for(
    url: str, spool: Path = Path("/nonexistent"), *, key: str = KEY, secret: str = SECRET
) -> Reporter:
    return Reporter(url, job_id="AJ_1", settings=settings_for(spool, key, secret))


async def test_the_worker_delivers_what_a_job_could_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "SPOOL_INTERVAL", 0.01)
    gateway, spool = Gateway(503, 204), Spool(tmp_path)
    app = web.Application()
    app.router.add_post("/report", gateway.on_report)
    content = {"event": "agent_ended", "job_id": "AJ_1", "detail": "", "report": None}
    async with TestServer(app) as server:
        spool.store(str(server.make_url("/report")), json.dumps(content).encode())
        settings = settings_for(tmp_path)
        delivering = asyncio.create_task(monitor._deliver_stored(settings))
        async with asyncio.timeout(5):
            while list(spool.stored()):
                await asyncio.sleep(0.01)
        delivering.cancel()
    assert len(gateway.reports) == 2


async def report_to(gateway: Gateway) -> None:
    app = web.Application()
    app.router.add_post("/report", gateway.on_report)
    async with TestServer(app) as server:
        url = str(server.make_url("/report"))
        reporter = reporter_for(url)
        await reporter.report("agent_failed", "ValueError: no", Record().report())


async def test_the_gateway_accepts_what_the_agent_reports() -> None:
    gateway = Gateway(204)
    await report_to(gateway)
    (report,) = gateway.reports
    assert report.kind is EventKind.AGENT_FAILED
    assert (report.job_id, report.detail) == ("AJ_1", "ValueError: no")
    assert report.report.keys() == {"transcript", "usage", "duration_ms", "errors"}


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


@pytest.mark.parametrize("lost", [False, True])
async def test_a_report_that_is_not_accepted_leaves_nothing_of_it_in_the_log(
    lost: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What callers say and the keys they press, which may be a PIN."""
    if lost:
        (tmp_path / "spool").touch()
    record = Record()
    record.said("user", "my PIN is 1234")
    record.said("user", "[key 5]")
    reporter = reporter_for("http://127.0.0.1:9/", tmp_path / "spool")
    with caplog.at_level("DEBUG"), stamina.set_testing(True, attempts=2):
        await reporter.report("agent_ended", "caller left", record.report())
    assert ("report.lost" in caplog.text) is lost
    assert "report.deferred" in caplog.text
    written = capsys.readouterr()
    for text in (caplog.text, written.out, written.err):
        assert "PIN" not in text
        assert "[key" not in text


async def test_nothing_is_reported_without_a_url() -> None:
    await reporter_for("").report("agent_ready")


def verify(verifier: WebhookVerifier, authorization: str | None, body: bytes = b"{}") -> None:
    check_body(verifier.signed_hash(authorization), body)


def bearer(key: str, secret: str, body: bytes) -> str:
    return f"Bearer {reporter_for('', key=key, secret=secret)._token(body)}"


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        # Signed when the test runs: a minute later a token is not valid for another reason.
        (lambda: None, "missing"),
        (lambda: "Bearer nonsense", "not valid"),
        (lambda: bearer(KEY, "x" * 32, b"{}"), "not valid"),
        (lambda: bearer("other", SECRET, b"{}"), "not valid"),
        (lambda: bearer(KEY, SECRET, b"{ }"), "this body"),
    ],
)
def test_a_wrong_token_is_refused(authorization: Callable[[], str | None], why: str) -> None:
    verify(WebhookVerifier([KeyPair(KEY, SECRET)]), bearer(KEY, SECRET, b"{}"))
    with pytest.raises(AuthenticationFailed, match=why):
        verify(WebhookVerifier([KeyPair(KEY, SECRET)]), authorization())


def test_a_previous_key_is_accepted_while_keys_are_rotated() -> None:
    verifier = WebhookVerifier([KeyPair(KEY, SECRET), KeyPair("previous", "y" * 32)])
    for key, secret in ((KEY, SECRET), ("previous", "y" * 32)):
        verify(verifier, bearer(key, secret, b"{}"))
    for key, secret in ((KEY, "y" * 32), ("previous", SECRET), ("next", "y" * 32)):
        with pytest.raises(AuthenticationFailed, match="not valid"):
            verify(verifier, bearer(key, secret, b"{}"))
