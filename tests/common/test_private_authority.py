"""Servers whose certificates a private authority has signed, which `SSL_CERT_FILE` names."""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.certificates import make_certificates
from tests.common import tls_requests
from tests.fakes.mcp_server import Calendar
from tests.fakes.receiver import Receiver

UNKNOWN_AUTHORITY = "its certificate is not valid: unable to get local issuer certificate"


@dataclass
class Servers:
    """They have certificates that `authority`, a file, has signed."""

    receiver: Receiver
    calendar: Calendar
    authority: Path

    @property
    def urls(self) -> tuple[str, str]:
        return self.receiver.url, self.calendar.url


@pytest.fixture
async def servers(server_process: None, tmp_path: Path) -> AsyncIterator[Servers]:
    authority = make_certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(Receiver(text="ok").serving(tls=tls))
        calendar = await stack.enter_async_context(Calendar().serving(certificates=tmp_path))
        yield Servers(receiver, calendar, authority)


async def test_an_unknown_authority_is_named_as_the_reason(servers: Servers) -> None:
    said = await tls_requests.requests(*servers.urls)
    assert said == dict.fromkeys(("callback", "tool", "mcp"), UNKNOWN_AUTHORITY)
    assert servers.receiver.raw == []


async def test_an_authority_is_trusted_that_the_environment_names(servers: Servers) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.common.tls_requests", *servers.urls),
        env={**os.environ, "SSL_CERT_FILE": str(servers.authority)},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert json.loads(output) == {"callback": "200", "tool": "ok", "mcp": "connected"}
