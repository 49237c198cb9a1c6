"""`Endpoint` declares what a handler takes, answers and refuses, and applies that."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, TypeAlias

from aiohttp import web
from marshmallow import Schema

from gateway.api.auth import NOTHING_PROVEN, Authentication, Proof
from gateway.api.client_address import address_of
from gateway.api.connections import Connection
from gateway.api.errors import error_response
from gateway.api.limits import Workload
from gateway.api.parsing import check_expectation, load, load_json, load_query, read_body
from gateway.api.services import SERVICES, Services
from gateway.errors import ErrorCode
from gateway.security.api_keys import Role
from gateway.telemetry import tracing

#: A schema, or JSON Schema where no schema reads or writes the content.
Shape: TypeAlias = type[Schema] | Schema | Mapping[str, Any]

_BODY_ERRORS = (ErrorCode.UNREADABLE, ErrorCode.TOO_SLOW, ErrorCode.TOO_LARGE)
_JSON_ERRORS = (ErrorCode.NOT_JSON, ErrorCode.UNSUPPORTED_MEDIA_TYPE, ErrorCode.INVALID)


@dataclass(slots=True)  # not frozen: that would double the cost of making one
class Request:
    """An authenticated and checked request, as a handler gets it.

    `client` is the API key's name, "" where there is none, and `role` what it may do; `raw` the
    body's bytes; `body` and `query` are what the endpoint's schemas made of them.
    """

    http: web.Request
    services: Services
    client: str
    role: Role
    raw: bytes
    body: Any
    query: Any

    @property
    def call_id(self) -> str:
        return self.http.match_info["call_id"]


def client_of(request: Request) -> str:
    """The API key's name, for timelines and the audit."""
    return request.client or "a client without an API key"


Handler: TypeAlias = Callable[[Request], Awaitable[web.StreamResponse]]


async def _no_handler(_: Request) -> web.StreamResponse:
    raise TypeError("an Endpoint is used as a decorator: its handler is missing")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Decorates a handler; the route table and the OpenAPI document are made from it.

    `authentication` None lets everyone in. `body` and `query` are checked before the handler runs;
    `raw_body` is the JSON Schema of a body that the handler reads itself. `answers` by status,
    None for no body. `headers` may come with a request, `response_headers` with the answer: name →
    description. `raises` are the errors of the handler itself: those of authentication, schemas and
    limits follow from the rest. `workload` bounds how many requests run at a time.
    """

    method: str
    path: str
    summary: str
    _: KW_ONLY
    authentication: Authentication | None
    answers: Mapping[int, Shape | None]
    body: Schema | None = None
    body_required: bool = True
    raw_body: Mapping[str, Any] | None = None
    query: Schema | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answer_type: str = "application/json"
    response_headers: Mapping[str, str] = field(default_factory=dict)
    raises: tuple[ErrorCode, ...] = ()
    workload: Workload | None = None
    handler: Handler = _no_handler

    def __call__(self, handler: Handler) -> "Endpoint":
        return replace(self, handler=handler)

    @property
    def route(self) -> web.RouteDef:
        if self.method == "GET":  # answers HEAD as well
            return web.get(self.path, self.handle, expect_handler=check_expectation)
        return web.route(self.method, self.path, self.handle, expect_handler=check_expectation)

    @property
    def errors(self) -> tuple[ErrorCode, ...]:
        """Every error that the endpoint may answer, each once."""
        codes: list[ErrorCode] = []
        if self.authentication:
            codes += [*self.authentication.errors, ErrorCode.ADDRESS_NOT_ALLOWED]
        if self.body or self.raw_body:
            codes += _BODY_ERRORS
        if self.body:
            codes += _JSON_ERRORS
        if self.query:
            codes.append(ErrorCode.INVALID)
        if self.workload:
            codes.append(ErrorCode.OVERLOADED)
        if self.workload is Workload.DISPATCHES:
            codes.append(ErrorCode.TOO_MANY_REQUESTS)
        return tuple(dict.fromkeys([*codes, *self.raises]))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer `request`; with no slot left it is refused at once, its body unread."""
        services = request.app[SERVICES]
        slots = services.limits.slots(self.workload)
        if slots.is_full:
            return error_response(services.limits.overloaded(slots))
        # A client whose body has to prove who it is has no slot before: it may be slow.
        proof, raw = await self._authenticate(request)
        return await self._in_slot(services, lambda: self._answer(request, services, proof, raw))

    async def handle_message(
        self, socket: web.Request, data: Mapping[str, Any], query: Mapping[str, str]
    ) -> web.StreamResponse:
        """Answer what came over the WebSocket of the request `socket`, which authenticated it."""
        services = socket.app[SERVICES]
        return await self._in_slot(services, lambda: self._load(socket, services, data, query))

    async def _in_slot(
        self, services: Services, answer: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        slots = services.limits.slots(self.workload)
        if slots.is_full:
            return error_response(services.limits.overloaded(slots))
        slots.taken += 1
        try:
            return await answer()
        finally:
            slots.taken -= 1

    async def _load(
        self,
        socket: web.Request,
        services: Services,
        data: Mapping[str, Any],
        query: Mapping[str, str],
    ) -> web.StreamResponse:
        body = load(self.body, data) if self.body else None
        loaded = load(self.query, query) if self.query else None
        return await self.handler(Request(socket, services, "", Role.VIEW, b"", body, loaded))

    async def _authenticate(self, request: web.Request) -> tuple[Proof, bytes | None]:
        """What the client has proven, and the body if it was part of that. Raises ApiError."""
        if self.authentication is None:
            return NOTHING_PROVEN, None
        proof, raw = self.authentication.authenticate(request), None
        if proof.check_body:
            raw = await read_body(request, is_proven=proof.is_complete)
            proof.check_body(raw)
        if isinstance(request.protocol, Connection):
            request.protocol.prove()
        tracing.authenticated()
        return proof, raw

    async def _answer(
        self, request: web.Request, services: Services, proof: Proof, raw: bytes | None
    ) -> web.StreamResponse:
        if self.workload is Workload.DISPATCHES:
            services.limits.check_dispatch_rate(proof.client or f"address {address_of(request)}")
        if raw is None:
            is_proven = self.authentication is not None
            takes_body = self.body or self.raw_body
            raw = await read_body(request, is_proven=is_proven) if takes_body else b""
        body = query = None
        if self.body and (raw or self.body_required):
            body = load_json(request, raw, self.body)
        if self.query:
            query = load_query(request, self.query)
        return await self.handler(
            Request(request, services, proof.client, proof.role, raw, body, query)
        )
