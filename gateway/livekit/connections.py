"""HTTP to LiveKit: livekit-api over a session, and what counts as LiveKit's answer."""

import json
import math
import time
from collections.abc import Callable

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse
from livekit import api
from livekit.api.room_service import RoomService

from common.resolver import Resolver
from gateway.livekit.timeouts import reused_connection_trace
from gateway.livekit.tokens import rooms_token
from gateway.telemetry.metrics import Observe, unobserved
from gateway.telemetry.traced_http import trace_configs

#: How long the shared token is used before it is renewed, in s; it is valid longer, see tokens.py.
TOKEN_RENEWAL = 600.0
#: Twirp's content type (twitchtv.github.io/twirp/docs/spec_v7.html).
PROTOBUF = "application/protobuf"
#: How much of a refusal that is plain text is quoted, in characters.
QUOTED_LENGTH = 200


class UnreadableAnswer(aiohttp.ClientError):
    """Something else than LiveKit has answered, such as a proxy with a page."""


class ServerApi:
    """livekit-api over `session`; `client` signs a token for each request.

    Without its failover: that repeats every request to LiveKit Cloud after a 5xx or a lost
    connection, and a dial would ring a telephone twice. timeouts.py repeats what is safe to repeat.
    """

    def __init__(self, url: str, key: str, secret: str, session: aiohttp.ClientSession) -> None:
        self.client = api.LiveKitAPI(url, key, secret, session=session, failover=False)
        self._new_shared_client: Callable[[], api.LiveKitAPI] = lambda: api.LiveKitAPI.with_token(
            rooms_token(key, secret), url, session=session, failover=False
        )
        self._token_made_at = -math.inf

    @property
    def rooms(self) -> RoomService:
        """For requests that need no grant on one room: they share a token.

        To sign a token for each request would cost more CPU than the rest of the request. Its age
        is that of the system's clock, by which LiveKit judges it, and which may be set back.
        """
        now = time.time()
        if not 0 <= now - self._token_made_at < TOKEN_RENEWAL:
            self._shared_client, self._token_made_at = self._new_shared_client(), now
        return self._shared_client.room


def pooled_session(
    connections: int, resolver: Resolver, observe: Observe = unobserved
) -> aiohttp.ClientSession:
    """Its connections are used again: at most `connections` at a time."""
    return _session(
        aiohttp.TCPConnector(limit=connections, use_dns_cache=False, resolver=resolver), observe
    )


def fresh_session(
    connections: int, resolver: Resolver, observe: Observe = unobserved
) -> aiohttp.ClientSession:
    """Each request has a connection of its own, so none is lost to one that has gone silent."""
    return _session(
        aiohttp.TCPConnector(
            limit=connections, use_dns_cache=False, resolver=resolver, force_close=True
        ),
        observe,
    )


def _session(connector: aiohttp.TCPConnector, observe: Observe) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_observing(observe), refuse_foreign_answers),
        trace_configs=[reused_connection_trace(), *trace_configs()],
    )


def _observing(observe: Observe) -> ClientMiddlewareType:
    """Tell `observe` of each attempt by Twirp's method, such as CreateRoom."""

    async def observed(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if request.method != "POST":
            return await handler(request)
        began, error = time.perf_counter(), "no_answer"
        try:
            response = await handler(request)
            error = "" if response.status == 200 else _kind_of(response.status)
        except api.ServerError as refusal:
            error = _kind_of(refusal.status)
            raise
        finally:
            observe(request.url.name, time.perf_counter() - began, error)
        return response

    return observed


def _kind_of(status: int) -> str:
    return "refused" if status < 500 else "failed"


async def refuse_foreign_answers(
    request: ClientRequest, handler: ClientHandlerType
) -> ClientResponse:
    """Let only answers in LiveKit's form pass: livekit-api fails over others in its own ways.

    Raises UnreadableAnswer for a 200, which may have been LiveKit's once, and api.ServerError for
    any other status.
    """
    response = await handler(request)
    if request.method != "POST":
        return response  # not Twirp: a list of LiveKit Cloud's regions
    if response.status == 200:
        if response.content_type != PROTOBUF:
            response.close()
            raise UnreadableAnswer(f"answered 200 with {response.content_type}")
    elif not _is_twirp_error(body := await response.read()):
        message = _quoted(response, body)
        raise api.ServerError(api.ServerErrorCode.UNKNOWN, message, status=response.status)
    return response


def _is_twirp_error(body: bytes) -> bool:
    """Whether it is `{"code": "…", "msg": "…", "meta": {"…": "…"}}`; only `code` must be there."""
    try:
        error = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return False
    meta = error.get("meta") or {}
    return (
        isinstance(error.get("msg", ""), str)
        and isinstance(meta, dict)
        and all(isinstance(value, str) for value in meta.values())
    )


def _quoted(response: ClientResponse, body: bytes) -> str:
    """livekit-server refuses a key or a token with a line of plain text."""
    if response.content_type != "text/plain":
        return f"HTTP {response.status} with {response.content_type}"
    line = body.decode(errors="replace").strip().partition("\n")[0]
    return "".join(filter(str.isprintable, line))[:QUOTED_LENGTH]
