"""`GET /talk`: call the agent from the browser."""

from urllib.parse import urlsplit

from aiohttp import web

from gateway.api.auth import DISPATCH
from gateway.api.endpoints import Request
from gateway.api.schemas.web_calls import ANONYMOUS
from gateway.errors import ApiError, ErrorCode
from gateway.web.page import CONTENT_SECURITY_POLICY, Page, render

#: The number called that the form begins with, where the gateway knows none of its own.
EXAMPLE_NUMBER = "+15550199"
#: LiveKit Cloud names the regions that its clients may connect to.
CLOUD = ".livekit.cloud"


@Page(
    "GET",
    "/talk",
    "Call the agent from the browser",
    authentication=DISPATCH,
    answers={200: {"type": "string"}},
    answer_type="text/html",
    raises=(ErrorCode.WEB_CALLS_OFF,),
)
async def talk_page(request: Request) -> web.Response:
    config = request.services.config
    if not config.web.calls:
        raise ApiError(ErrorCode.WEB_CALLS_OFF, ErrorCode.WEB_CALLS_OFF.description)
    response = render(
        request,
        "talk.html",
        numbers=config.trunks.outbound_numbers or (EXAMPLE_NUMBER,),
        has_profiles=config.agent.pipeline == "voice",
        anonymous=ANONYMOUS,
    )
    sources = "".join(f" {it}" for it in livekit_sources(config.browser_livekit_url))
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY.format(connect=sources)
    return response


def livekit_sources(url: str) -> list[str]:
    """What livekit-client connects to for the LiveKit at `url`, for a Content-Security-Policy.

    It opens a WebSocket, and asks by HTTP why that fails.
    """
    parts = urlsplit(url)
    suffix = "s" if parts.scheme in {"wss", "https"} else ""
    is_cloud = (parts.hostname or "").endswith(CLOUD)
    hosts = [parts.netloc, *([f"*{CLOUD}"] if is_cloud else [])]
    return [f"{scheme}{suffix}://{host}" for host in hosts for scheme in ("ws", "http")]
