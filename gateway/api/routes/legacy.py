"""`POST /livekit-simple`, the old route: dials the static trunk, and says where to move."""

from datetime import UTC, datetime
from email.utils import format_datetime

import structlog
from aiohttp import web

from gateway.api.auth import JAMBONZ
from gateway.api.endpoints import Endpoint, Request
from gateway.api.limits import Workload
from gateway.api.schemas.hooks import CallHookSchema
from gateway.api.schemas.responses import VerbSchema
from gateway.calls.callers import plain_user
from gateway.calls.outcomes import SipOutcome
from gateway.config.settings import Config
from gateway.jambonz import verbs
from gateway.jambonz.hooks import CallHook
from gateway.jambonz.urls import CALL_HOOK, hook_url
from gateway.jambonz.verbs import Verbs
from gateway.transfers.fallback import refuse

log = structlog.get_logger()

#: Since when applications are asked to move.
DEPRECATED = datetime(2026, 11, 21, tzinfo=UTC)


@Endpoint(
    "POST",
    "/livekit-simple",
    "The old route: a `dial` to the static trunk",
    authentication=JAMBONZ,
    body=CallHookSchema(),
    answers={200: VerbSchema(many=True)},
    response_headers={
        "Deprecation": "since when applications are asked to move (RFC 9745)",
        "Sunset": "when the route will be removed (RFC 8594)",
        "Link": "where to move",
    },
    workload=Workload.NEW_CALLS,
)
async def legacy_call(request: Request) -> web.Response:
    hook: CallHook = request.body
    config, counters = request.services.config, request.services.counters
    counters.legacy_call(request.services.clock())
    successor = hook_url(config.own_url, CALL_HOOK)
    log.warning(
        "legacy.call",
        call_sid=hook.call_sid,
        application_sid=hook.ids.get("application_sid"),
        calls=counters.legacy_calls,
        how_to_move=f"make {successor} the calling webhook (POST), see docs/migration.md",
    )
    answer = _dial(hook, config)
    return web.json_response(answer, headers=_deprecation_headers(config))


def _dial(hook: CallHook, config: Config) -> Verbs:
    """The called number at LiveKit's static trunk, as the old middleware dialed it."""
    user = plain_user(hook.to_number)
    if not user:
        return refuse(SipOutcome(484, "Address Incomplete"), answered=hook.caller_answered)
    host = config.legacy.sip_host or config.livekit.sip_address
    uri = f"sip:{user}@{host};transport={config.livekit.sip_transport}"
    return verbs.dial_uri(uri, options=config.livekit_dial)


def _deprecation_headers(config: Config) -> dict[str, str]:
    """Deprecation (RFC 9745), Sunset (RFC 8594) and the successor (RFC 5829)."""
    sunset = datetime.fromisoformat(config.legacy.sunset).replace(tzinfo=UTC)
    return {
        "Deprecation": f"@{DEPRECATED.timestamp():.0f}",
        "Sunset": format_datetime(sunset, usegmt=True),
        "Link": f'<{CALL_HOOK}>; rel="successor-version"',
    }
