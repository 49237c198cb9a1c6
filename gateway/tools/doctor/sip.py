"""Checks of LiveKit's SIP host: it resolves, and answers OPTIONS over UDP, TCP and TLS."""

import asyncio
import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from gateway.explanation.status import Status
from gateway.tools.doctor.check import (
    Check,
    Finding,
    fail,
    ok,
    skip,
)
from gateway.tools.doctor.context import Context

#: How long a transport may take to answer, in s.
TIMEOUT = 2.0
#: The pauses before an unanswered UDP request is sent again, in s (RFC 3261 §17.1.2.2).
RESEND_PAUSES = (0.5, 1.0)
#: More than the size of any response to OPTIONS, in bytes.
RESPONSE_SIZE = 65_536
PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


@dataclass(frozen=True, slots=True)
class Host:
    """A SIP host: `name` as configured, and the `address` that it resolves to."""

    name: str
    address: str
    port: int


def checks(context: Context) -> list[Check]:
    if context.is_dev:
        return [Check("sip_host", "SIP host", _none_by_dev)]
    if context.config.inbound.strategy != "room":
        return [Check("sip_host", "SIP host", _not_dialed)]
    used = context.config.livekit.sip_transport
    transports = ("udp", "tcp", "tls") if used == "tls" else ("udp", "tcp")
    return [
        Check("sip_host", "SIP host", partial(_resolves, context)),
        *(
            Check(
                f"sip_{transport}",
                f"SIP by {transport.upper()}",
                partial(_answers, context, transport),
                needs=("sip_host",),
            )
            for transport in transports
        ),
    ]


async def _none_by_dev() -> Finding:
    return skip("none: `make run` starts no livekit-sip")


async def _not_dialed() -> Finding:
    return skip("not used: with inbound.strategy participant Jambonz sends LiveKit no INVITE")


async def _resolves(context: Context) -> Finding:
    name, _ = host_and_port(context.config.livekit.sip_address)
    try:
        addresses = await addresses_of(name)
    except OSError as error:
        step = (
            "set LIVEKIT_SIP_HOST in .env.local: for LiveKit Cloud the SIP URI in the project's "
            "settings; otherwise the host of livekit-sip"
        )
        return fail(f"the name {name} has no address: {error.strerror}", step)
    return ok(f"{name} is {', '.join(addresses)}" if addresses != [name] else name)


def host_and_port(address: str) -> tuple[str, int | None]:
    """`host`, `host:port` or `[v6]:port`."""
    parts = urlsplit(f"//{address}")
    return parts.hostname or address, parts.port


async def addresses_of(name: str) -> list[str]:
    """The IP addresses of `name`, IPv4 first. Raises OSError."""
    loop = asyncio.get_running_loop()
    entries = await loop.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    in_order = sorted(entries, key=lambda entry: entry[0] != socket.AF_INET)
    return list(dict.fromkeys(str(entry[4][0]) for entry in in_order))


async def _answers(context: Context, transport: str) -> Finding:
    name, port = host_and_port(context.config.livekit.sip_address)
    port = port or PORTS[transport]
    host = Host(name, (await addresses_of(name))[0], port)
    used = context.config.livekit.sip_transport
    began = time.monotonic()
    try:
        async with asyncio.timeout(TIMEOUT):
            status, reason = await _REQUEST[transport](host)
    except (OSError, ssl.SSLError, TimeoutError, EOFError) as error:
        return unanswered(transport, used, f"{host.address}:{port} {_problem(error)}")
    took = (time.monotonic() - began) * 1000
    return ok(f"{host.address}:{port} answers OPTIONS with {status} {reason} in {took:.0f} ms")


def unanswered(transport: str, used: str, message: str) -> Finding:
    """A transport that does not work: a failure if it is the one `used` for calls."""
    step = (
        f"open {PORTS[transport]}/{'udp' if transport == 'udp' else 'tcp'} to livekit-sip in "
        "firewalls and security groups, and check that livekit-sip runs"
    )
    if transport == used:
        return fail(message, f"{step}; or change livekit.sip_transport to one that answers")
    return Finding(Status.WARN, f"{message} (calls use {used})", step)


def _problem(error: Exception) -> str:
    match error:
        case TimeoutError():
            return f"does not answer within {TIMEOUT:g} s"
        case ssl.SSLCertVerificationError():
            return f"has no valid certificate: {error.verify_message}"
        case ssl.SSLError():
            return "does not speak TLS"
        case ConnectionRefusedError():
            return "refuses connections"
        case EOFError():
            return "closes the connection without an answer"
    return f"cannot be reached: {error}"


def options(host: Host, transport: str, local: tuple[str, int], call_id: str) -> bytes:
    """An OPTIONS request (RFC 3261 §11)."""
    local_address = f"{_bracketed(local[0])}:{local[1]}"
    target = f"sip:{_bracketed(host.name)}"
    lines = [
        f"OPTIONS {target};transport={transport.lower()} SIP/2.0",
        f"Via: SIP/2.0/{transport.upper()} {local_address};rport;branch=z9hG4bK{call_id}",
        "Max-Forwards: 70",
        f"From: <sip:doctor@{local_address}>;tag={call_id[:8]}",
        f"To: <{target}>",
        f"Call-ID: {call_id}",
        "CSeq: 1 OPTIONS",
        "Accept: application/sdp",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def read_response(data: bytes, call_id: str) -> tuple[int, str] | None:
    """Status and reason of the final response to the request `call_id`; None for any other data."""
    head = data.partition(b"\r\n\r\n")[0].decode(errors="replace")
    protocol, _, rest = head.partition("\r\n")[0].partition(" ")
    status, _, reason = rest.partition(" ")
    if protocol != "SIP/2.0" or not status.isdecimal() or call_id not in head:
        return None
    return (int(status), reason) if int(status) >= 200 else None


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _request_udp(host: Host) -> tuple[int, str]:
    loop = asyncio.get_running_loop()
    call_id = secrets.token_hex(8)
    family = socket.AF_INET6 if ":" in host.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0)
        # A connected socket reports a closed port, and knows our own address.
        sock.connect((host.address, host.port))
        request = options(host, "udp", sock.getsockname()[:2], call_id)
        resending = asyncio.create_task(_send_again(sock, request))
        try:
            while True:
                response = read_response(await loop.sock_recv(sock, RESPONSE_SIZE), call_id)
                if response:
                    return response
        finally:
            resending.cancel()


async def _send_again(sock: socket.socket, request: bytes) -> None:
    loop = asyncio.get_running_loop()
    for pause in (*RESEND_PAUSES, 0.0):
        await loop.sock_sendall(sock, request)
        await asyncio.sleep(pause)


async def _request_tcp(host: Host, tls: ssl.SSLContext | None = None) -> tuple[int, str]:
    call_id = secrets.token_hex(8)
    name = host.name if tls else None
    reader, writer = await asyncio.open_connection(
        host.address, host.port, ssl=tls, server_hostname=name
    )
    try:
        local = writer.get_extra_info("sockname")[:2]
        writer.write(options(host, "tls" if tls else "tcp", local, call_id))
        while True:
            response = read_response(await reader.readuntil(b"\r\n\r\n"), call_id)
            if response:
                return response
    finally:
        writer.close()


async def _request_tls(host: Host) -> tuple[int, str]:
    return await _request_tcp(host, ssl.create_default_context())


_REQUEST = {"udp": _request_udp, "tcp": _request_tcp, "tls": _request_tls}
