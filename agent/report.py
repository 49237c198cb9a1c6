"""What happened in the job, told to the gateway: POSTed, proven by the LiveKit key, repeated."""

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

from agent.settings import WorkerSettings
from agent.spool import Spool

logger = logging.getLogger("agent.report")

FAILURES = (aiohttp.ClientError, TimeoutError)
#: How long a job tries to report, in s: less than the framework gives it to shut down. What is not
#: accepted by then is left to the worker.
TRY_FOR = 12.0
ATTEMPT = aiohttp.ClientTimeout(total=3)

Happening = Literal["agent_ready", "agent_ended", "agent_failed", "agent_gone"]


class Reporter:
    """Reports to `url`; without one (a job that the gateway did not dispatch) it keeps silent."""

    def __init__(self, url: str, *, job_id: str, settings: WorkerSettings) -> None:
        self._url = url
        self._job_id = job_id
        self._settings = settings
        self._spool = Spool(settings.spool)

    async def tell(
        self, event: Happening, detail: str = "", report: Mapping[str, object] | None = None
    ) -> None:
        """Never raises: a gateway that is away must not end a conversation, or lose its report.

        `report` is what the gateway passes on in `call_analyzed`.
        """
        if not self._url:
            return
        content = {"event": event, "job_id": self._job_id, "detail": detail, "report": report}
        body = json.dumps(content).encode()
        try:
            await self._retry(body)
        except FAILURES as error:
            logger.warning("report is left to the worker", extra={"error": repr(error)})
            self._spool.keep(self._url, body)

    @stamina.retry(on=FAILURES, attempts=None, timeout=TRY_FOR, wait_max=2.0)
    async def _retry(self, body: bytes) -> None:
        await self.post(body)

    async def post(self, body: bytes) -> None:
        """One try. Raises what FAILURES has."""
        headers = {
            "Authorization": f"Bearer {self._token(body)}",
            "Content-Type": "application/json",
        }
        async with (
            aiohttp.ClientSession(timeout=ATTEMPT, raise_for_status=True) as session,
            session.post(self._url, data=body, headers=headers),
        ):
            pass

    def _token(self, body: bytes) -> str:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        token = api.AccessToken(self._settings.api_key, self._settings.api_secret)
        token.with_sha256(digest)
        return token.with_ttl(timedelta(minutes=1)).to_jwt()
