"""LiveKit's SIP host: does it resolve, does it answer OPTIONS by UDP, TCP and TLS."""

import asyncio
import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from gateway.tools.doctor.check import Check, Finding, Status, fail, ok, skip
from gateway.tools.doctor.context import Context

#: How long one transport may take to answer, in s.
LIMIT = 2.0
#: When an unanswered request is sent again by UDP (RFC 3261 §17.1.2.2), in s after the one before.
RESEND = (0.5, 1.0)
#: More than any answer to OPTIONS has, in bytes.
ANSWER_SIZE = 65_536
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


@dataclass(frozen=True, slots=True)
class Host:
    """Where to ask: `name` as configured, `address` what it resolves to."""

    name: str
    address: str
    port: int


def checks(site: Context) -> list[Check]:
    if site.config.inbound.strategy != "room":
        return [Check("sip_host", "SIP host", _not_dialed)]
    used = site.config.livekit.sip_transport
    tried = ("udp", "tcp", "tls") if used == "tls" else ("udp", "tcp")
    return [
        Check("sip_host", "SIP host", partial(_resolves, site)),
        *(
            Check(
                f"sip_{transport}",
                f"SIP by {transport.upper()}",
                partial(_answers, site, transport),
                needs=("sip_host",),
            )
            for transport in tried
        ),
    ]


async def _not_dialed() -> Finding:
    return skip("Jambonz sends LiveKit no INVITE where inbound.strategy is participant")


async def _resolves(site: Context) -> Finding:
    name, _ = host_and_port(site.config.livekit.sip_address)
    try:
        addresses = await addresses_of(name)
    except OSError as error:
        step = (
            "LIVEKIT_SIP_HOST in .env.local: LiveKit Cloud's is the SIP URI in the project's "
            "settings, without 'sip:'; a server's own is where livekit-sip runs"
        )
        return fail(f"the name {name} has no address: {error.strerror}", step)
    return ok(f"{name} is {', '.join(addresses)}" if addresses != [name] else name)


def host_and_port(address: str) -> tuple[str, int | None]:
    """`host`, `host:port` or `[v6]:port`."""
    parts = urlsplit(f"//{address}")
    return parts.hostname or address, parts.port


async def addresses_of(name: str) -> list[str]:
    """IPv4 first, as SIP services have it. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    in_order = sorted(found, key=lambda entry: entry[0] != socket.AF_INET)
    return list(dict.fromkeys(str(entry[4][0]) for entry in in_order))


async def _answers(site: Context, transport: str) -> Finding:
    name, port = host_and_port(site.config.livekit.sip_address)
    port = port or PORTS[transport]
    host = Host(name, (await addresses_of(name))[0], port)
    used = site.config.livekit.sip_transport
    began = time.monotonic()
    try:
        async with asyncio.timeout(LIMIT):
            status, reason = await _ASK[transport](host)
    except (OSError, ssl.SSLError, TimeoutError, EOFError) as error:
        return unanswered(transport, used, f"{host.address}:{port} {_trouble(error)}")
    took = (time.monotonic() - began) * 1000
    return ok(f"{host.address}:{port} answers OPTIONS with {status} {reason} in {took:.0f} ms")


def unanswered(transport: str, used: str, saw: str) -> Finding:
    """A transport that does not work: bad if it is the one that Jambonz is told to use."""
    step = (
        f"open {PORTS[transport]}/{'udp' if transport == 'udp' else 'tcp'} towards livekit-sip in "
        "firewalls and security groups, and check that it runs"
    )
    if transport == used:
        return fail(saw, f"{step}; or change livekit.sip_transport to one that answers")
    return Finding(Status.WARN, f"{saw} (calls use {used})", step)


def _trouble(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"does not answer within {LIMIT:g} s"
        case ssl.SSLCertVerificationError():
            return f"has no valid certificate: {error.verify_message}"
        case ssl.SSLError():
            return "does not speak TLS"
        case ConnectionRefusedError():
            return "refuses connections"
        case EOFError():
            return "hangs up without an answer"
    return f"cannot be asked: {error}"


def options(host: Host, transport: str, local: tuple[str, int], call_id: str) -> bytes:
    """An OPTIONS request as RFC 3261 §11 has it."""
    own = f"{_bracketed(local[0])}:{local[1]}"
    target = f"sip:{_bracketed(host.name)}"
    lines = [
        f"OPTIONS {target};transport={transport.lower()} SIP/2.0",
        f"Via: SIP/2.0/{transport.upper()} {own};rport;branch=z9hG4bK{call_id}",
        "Max-Forwards: 70",
        f"From: <sip:doctor@{own}>;tag={call_id[:8]}",
        f"To: <{target}>",
        f"Call-ID: {call_id}",
        "CSeq: 1 OPTIONS",
        "Accept: application/sdp",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(data: bytes, call_id: str) -> tuple[int, str] | None:
    """Status and reason of a final answer to the request with this Call-ID; None if it is none."""
    head = data.partition(b"\r\n\r\n")[0].decode(errors="replace")
    protocol, _, rest = head.partition("\r\n")[0].partition(" ")
    status, _, reason = rest.partition(" ")
    if protocol != "SIP/2.0" or not status.isdecimal() or call_id not in head:
        return None
    return (int(status), reason) if int(status) >= 200 else None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _ask_udp(host: Host) -> tuple[int, str]:
    loop = asyncio.get_running_loop()
    call_id = secrets.token_hex(8)
    family = socket.AF_INET6 if ":" in host.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as line:
        line.settimeout(0)
        # Connected, so that a closed port is told, and our own address is known.
        line.connect((host.address, host.port))
        request = options(host, "udp", line.getsockname()[:2], call_id)
        resending = asyncio.create_task(_send_again(line, request))
        try:
            while True:
                answer = read_answer(await loop.sock_recv(line, ANSWER_SIZE), call_id)
                if answer:
                    return answer
        finally:
            resending.cancel()


async def _send_again(line: socket.socket, request: bytes) -> None:
    loop = asyncio.get_running_loop()
    for pause in (*RESEND, 0.0):
        await loop.sock_sendall(line, request)
        await asyncio.sleep(pause)


async def _ask_tcp(host: Host, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    call_id = secrets.token_hex(8)
    name = host.name if tls else None
    reader, writer = await asyncio.open_connection(
        host.address, host.port, ssl=tls, server_hostname=name
    )
    try:
        local = writer.get_extra_info("sockname")[:2]
        writer.write(options(host, "tls" if tls else "tcp", local, call_id))
        while True:
            answer = read_answer(await reader.readuntil(b"\r\n\r\n"), call_id)
            if answer:
                return answer
    finally:
        writer.close()


async def _ask_tls(host: Host) -> tuple[int, str]:
    return await _ask_tcp(host, ssl.create_default_context())


_ASK = {"udp": _ask_udp, "tcp": _ask_tcp, "tls": _ask_tls}
