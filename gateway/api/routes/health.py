"""Whether the gateway lives and is ready for calls, and what it has counted since it started."""

from dataclasses import asdict

from aiohttp import web

from gateway import __version__
from gateway.api.auth import READ
from gateway.api.endpoints import Endpoint, Request
from gateway.api.schemas.responses import DiagnosticsSchema, HealthSchema, ReadinessSchema
from gateway.logs import lost_lines
from gateway.monitor.readiness import Condition


@Endpoint(
    "GET",
    "/healthz",
    "Whether the process lives",
    authentication=None,
    answers={200: HealthSchema},
)
async def healthz(request: Request) -> web.Response:
    return web.json_response({"status": "ok"})


@Endpoint(
    "GET",
    "/readyz",
    "Whether a balancer should send calls to this gateway; with a key, also why not",
    authentication=None,
    answers={200: ReadinessSchema, 503: ReadinessSchema},
)
async def readyz(request: Request) -> web.Response:
    services = request.services
    states = await services.readiness.states()
    draining = Condition.DRAINING if services.draining.is_set() else Condition.OK
    ready = draining is Condition.OK and all(each.is_ok for each in states.values())
    may_read = READ.accepts(request.http)  # the details name hosts
    checks = {
        name: state.detail if may_read and not state.is_ok else state.condition
        for name, state in states.items()
    }
    body = {"status": "ok" if ready else "not_ready", "checks": {**checks, "draining": draining}}
    return web.json_response(body, status=200 if ready else 503)


@Endpoint(
    "GET",
    "/livekit-api/diagnostics",
    "Counters of this process since it started",
    authentication=READ,
    answers={200: DiagnosticsSchema},
)
async def diagnostics(request: Request) -> web.Response:
    services = request.services
    return web.json_response(
        {
            "version": __version__,
            "strategy": services.config.inbound.strategy,
            **services.counters.view(),
            "refused": services.limits.refused,
            "log_lines_lost": lost_lines(),
            "history": asdict(services.history_status),
        }
    )
