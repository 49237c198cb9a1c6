"""The old door, `POST /livekit-simple`: dials the static trunk, and says where to move."""

from datetime import UTC, datetime
from email.utils import format_datetime

import structlog
from aiohttp import web

from gateway.api.auth import verified_jambonz_body
from gateway.api.keys import CLOCK, CONFIG, COUNTERS
from gateway.api.parsing import load_json
from gateway.api.schemas.hooks import CallHookSchema
from gateway.calls.destinations import plain_user
from gateway.config.settings import Config
from gateway.jambonz import verbs
from gateway.jambonz.hooks import CallHook
from gateway.jambonz.urls import CALL_HOOK, hook_url
from gateway.jambonz.verbs import Verbs

log = structlog.get_logger()
routes = web.RouteTableDef()

_CALL_HOOK = CallHookSchema()

#: Since when applications are asked to move.
DEPRECATED = datetime(2026, 11, 21, tzinfo=UTC)


@routes.post("/livekit-simple")
async def legacy_call(request: web.Request) -> web.Response:
    body = await verified_jambonz_body(request)
    hook: CallHook = load_json(request, body, _CALL_HOOK)
    config, counters = request.app[CONFIG], request.app[COUNTERS]
    successor = hook_url(config.own_url, CALL_HOOK)
    counters.legacy_call(request.app[CLOCK]())
    log.warning(
        "legacy.call",
        call_sid=hook.call_sid,
        application_sid=hook.ids.get("application_sid"),
        calls=counters.legacy_calls,
        how_to_move=f"make {successor} the calling webhook (POST), see docs/migration.md",
    )
    return web.json_response(_dial(hook.to_number, config), headers=_response_headers(config))


def _dial(number: str, config: Config) -> Verbs:
    """What the old middleware answered: the number called, at LiveKit's static trunk."""
    user = plain_user(number)
    if not user:
        return verbs.decline(484, "Address Incomplete")
    host = config.legacy.sip_host or config.livekit.sip_address
    uri = f"sip:{user}@{host};transport={config.livekit.sip_transport}"
    return verbs.dial_static(uri, limits=config.inbound.limits)


def _response_headers(config: Config) -> dict[str, str]:
    """Deprecation (RFC 9745), Sunset (RFC 8594) and the successor (RFC 5829)."""
    sunset = datetime.fromisoformat(config.legacy.sunset).replace(tzinfo=UTC)
    return {
        "Deprecation": f"@{DEPRECATED.timestamp():.0f}",
        "Sunset": format_datetime(sunset, usegmt=True),
        "Link": f'<{CALL_HOOK}>; rel="successor-version"',
    }
