"""Reports of a job to the gateway: POSTed, signed with the LiveKit key, retried."""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

import aiohttp
import stamina
from livekit import api

from agent.ending import Reason
from agent.settings import WorkerSettings
from agent.spool import Spool
from agent.tracing import trace_headers

logger = logging.getLogger("agent.report")

# stamina's own hooks would log the report, and with it what the caller said.
stamina.instrumentation.set_on_retry_hooks([])

FAILURES = (aiohttp.ClientError, TimeoutError)
#: How long a job retries a report, in s: less than the framework gives it to shut down. After that
#: the worker delivers it.
RETRY_TIMEOUT = 12.0
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=3)

ReportEvent = Literal[
    "agent_ready",
    "answered",
    "agent_ended",
    "agent_failed",
    "agent_gone",
    "agent_report",
    "agent_silent",
]


TransferKind = Literal["cold", "announced", "warm"]
#: How long the gateway has to carry out a transfer, in s: its target may ring for 30.
TRANSFER_TIMEOUT = aiohttp.ClientTimeout(total=45)


class TransferRefused(Exception):
    """The caller stays with the agent; the text says why."""


def describe(error: BaseException) -> str:
    """An error in words: its repr may have the request's headers, and with them the token."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"the gateway answered {error.status}"
    return f"{type(error).__name__}: {error}"


class Reporter:
    """Reports to `url`; without one (the gateway did not dispatch the job) it does nothing."""

    def __init__(self, url: str, *, job_id: str, settings: WorkerSettings) -> None:
        self._url = url
        self._job_id = job_id
        self._settings = settings
        self._spool = Spool(settings.spool)

    async def report(
        self,
        event: ReportEvent,
        detail: str = "",
        report: Mapping[str, object] | None = None,
        *,
        disconnection_reason: Reason = "",
        silence: Mapping[str, int] | None = None,
    ) -> None:
        """Never raises: a gateway that does not answer ends no conversation and loses no report.

        Takes RETRY_TIMEOUT and REQUEST_TIMEOUT at most.

        `report` is what the gateway sends on with `call_analyzed`.
        """
        if not self._url:
            return
        content = {"event": event, "job_id": self._job_id, "detail": detail, "report": report}
        if disconnection_reason:
            content["disconnection_reason"] = disconnection_reason
        if silence:
            content["silence"] = silence
        body = json.dumps(content).encode()
        try:
            await self._post_with_retries(body)
        except FAILURES as error:
            logger.warning("report.deferred", extra={"error": describe(error)})
            self._spool.store(self._url, body)
        except asyncio.CancelledError:
            # The framework ends the job's process: what it could not report must not be lost.
            self._spool.store(self._url, body)
            raise

    @stamina.retry(on=FAILURES, attempts=None, timeout=RETRY_TIMEOUT, wait_max=2.0)
    async def _post_with_retries(self, body: bytes) -> None:
        await self.post(body)

    async def post(self, body: bytes) -> None:
        """One attempt. Raises FAILURES."""
        async with (
            aiohttp.ClientSession(timeout=REQUEST_TIMEOUT, raise_for_status=True) as session,
            session.post(self._url, data=body, headers=self._headers(body)),
        ):
            pass

    async def request_transfer(self, target: str, kind: TransferKind, summary: str) -> None:
        """Have the gateway transfer the caller, once. Raises TransferRefused.

        An announced target hears `summary` first.
        """
        if not self._url:
            raise TransferRefused("the call has no gateway that could do it")
        url = f"{self._url}/transfer"
        body = json.dumps({"target": target, "kind": kind, "summary": summary}).encode()
        try:
            async with (
                aiohttp.ClientSession(timeout=TRANSFER_TIMEOUT) as session,
                session.post(url, data=body, headers=self._headers(body)) as response,
            ):
                if not response.ok:
                    raise TransferRefused(_message_of(await response.read(), response.status))
        except FAILURES as error:
            raise TransferRefused(f"the gateway did not answer: {type(error).__name__}") from error

    def _headers(self, body: bytes) -> dict[str, str]:
        return {
            "Authorization": f"Bearer {self._token(body)}",
            "Content-Type": "application/json",
            **trace_headers(),
        }

    def _token(self, body: bytes) -> str:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        token = api.AccessToken(self._settings.api_key, self._settings.api_secret)
        token.with_sha256(digest)
        return token.with_ttl(timedelta(minutes=1)).to_jwt()


def _message_of(body: bytes, status: int) -> str:
    """The text of the gateway's error response."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {status}"
