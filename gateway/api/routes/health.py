"""Whether the gateway lives and is ready for calls, and what it has counted since it started."""

from aiohttp import web

from gateway import __version__
from gateway.api.auth import READ
from gateway.api.endpoints import Endpoint, Request
from gateway.api.schemas.responses import DiagnosticsSchema, HealthSchema, ReadinessSchema
from gateway.api.services import Services
from gateway.errors import LiveKitError, StorageUnavailable
from gateway.logs import lost_lines


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
    "Whether a balancer should send calls to this gateway, and if not why",
    authentication=None,
    answers={200: ReadinessSchema, 503: ReadinessSchema},
)
async def readyz(request: Request) -> web.Response:
    services = request.services
    checks = {
        "livekit": await _livekit_state(services),
        "storage": await _storage_state(services),
        "draining": "draining" if services.draining.is_set() else "ok",
    }
    ready = all(state == "ok" for state in checks.values())
    body = {"status": "ok" if ready else "not_ready", "checks": checks}
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
        }
    )


async def _livekit_state(services: Services) -> str:
    try:
        await services.livekit.ping()
    except LiveKitError as error:
        return str(error)
    return "ok"


async def _storage_state(services: Services) -> str:
    try:
        await services.storage.probe()
    except StorageUnavailable as error:
        return str(error)
    return "ok"
