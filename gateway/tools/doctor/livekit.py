"""Checks of LiveKit: it answers, accepts the key, has the same time, and has SIP."""

from email.utils import parsedate_to_datetime
from functools import partial

from gateway.errors import LiveKitRefused
from gateway.livekit.tokens import rooms_token
from gateway.livekit.trunks import Kind, Trunks
from gateway.tools.doctor.check import Check, Finding, fail, ok, skip, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.web import RequestFailed, Response, host_of

#: Differences of the clocks, in s. LiveKit accepts tokens that begin at most 60 s from now.
SKEW_WARN = 5.0
SKEW_FAIL = 60.0
#: The `Date` header has whole seconds: on average half a second has passed since.
HALF_SECOND = 0.5

_CHECK_URL = "check LIVEKIT_URL in .env.local, and that the server runs"
_SET_CLOCK = "set the clocks by NTP: timedatectl set-ntp true, here or on LiveKit's machine"
_KEY_PLACE = "LiveKit Cloud: Settings, Keys; a self-hosted server: `keys` in its configuration"


def checks(context: Context) -> list[Check]:
    return [
        Check("livekit", "LiveKit", partial(_reachable, context)),
        Check("clock", "clock", partial(_clock, context), needs=("livekit",)),
        Check("livekit_key", "LiveKit key", partial(_key, context), needs=("livekit",)),
        Check("livekit_sip", "LiveKit SIP", partial(_sip, context), needs=("livekit_key",)),
    ]


def http_url(url: str) -> str:
    """LIVEKIT_URL for HTTP requests: `http` for `ws`, `https` for `wss`."""
    return f"http{url.removeprefix('ws')}".rstrip("/") if url.startswith("ws") else url.rstrip("/")


async def _reachable(context: Context) -> Finding:
    url = context.config.livekit.url
    try:
        response = await context.http.request(http_url(url))
    except RequestFailed as error:
        return fail(str(error), _next_step(url, str(error)))
    # Another status may come from a proxy that forwards LiveKit's own paths only.
    if response.status >= 500:
        message = f"{host_of(url)} answers {response.status}: a proxy without LiveKit behind it"
        return fail(message, _CHECK_URL)
    return ok(f"{host_of(url)} answers in {response.took * 1000:.0f} ms")


def _next_step(url: str, problem: str) -> str:
    if "speak TLS" in problem:
        return f"LIVEKIT_URL=ws://{host_of(url)} if that server has no TLS, otherwise its TLS port"
    return _CHECK_URL


async def _clock(context: Context) -> Finding:
    response = await context.http.request(http_url(context.config.livekit.url))
    return clock(response.headers.get("Date", ""), response.at - response.took / 2)


def clock(date: str, our_time: float) -> Finding:
    """Compares LiveKit's `Date` header (RFC 9110 §6.6.1) with `our_time`, in s since epoch."""
    try:
        livekit_time = parsedate_to_datetime(date).timestamp() + HALF_SECOND
    except ValueError:
        return ok("LiveKit sends no time to compare with")
    skew = our_time - livekit_time
    if abs(skew) <= 1:
        return ok("the same as LiveKit's")
    message = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} LiveKit's"
    if abs(skew) > SKEW_FAIL:
        return fail(f"{message}: LiveKit refuses our tokens, or we refuse its webhooks", _SET_CLOCK)
    return warn(message, _SET_CLOCK) if abs(skew) > SKEW_WARN else ok(message)


async def _key(context: Context) -> Finding:
    """A plain HTTP request: livekit-api drops the text with which LiveKit refuses a token."""
    settings = context.config.livekit
    response = await context.http.request(
        f"{http_url(settings.url)}/twirp/livekit.RoomService/ListRooms",
        method="POST",
        headers={
            "Authorization": f"Bearer {rooms_token(settings.api_key, settings.api_secret)}",
            "Content-Type": "application/json",
        },
        body=b'{"names": ["-"]}',
    )
    return key(response, host_of(settings.url))


def key(response: Response, host: str) -> Finding:
    """Judges LiveKit's response to our token. Its text is not shown, as it quotes the token."""
    text = response.body.decode(errors="replace")
    if response.status == 200:
        return ok("LiveKit accepts LIVEKIT_API_KEY and LIVEKIT_API_SECRET")
    if response.status not in {401, 403}:
        step = "see its log; LIVEKIT_URL must be the server's address without a path"
        return fail(f"{host} answers {response.status} to a list of rooms", step)
    for words, meaning in _REFUSALS.items():
        if words in text:
            message, step = meaning
            return fail(message.format(host), step)
    message, step = _REFUSED
    return fail(message.format(host), step)


_KEY_STEP = f"set the key and secret of that project or server in .env.local ({_KEY_PLACE})"
_CLOCKS_DIFFER = "{} finds our token expired or not valid yet: the clocks differ"
_REFUSED = ("{} does not accept LIVEKIT_API_KEY with LIVEKIT_API_SECRET", _KEY_STEP)
#: The meaning of a refusal, by the words in which livekit-server 1.13.5 expresses it.
_REFUSALS = {
    "not valid yet": (_CLOCKS_DIFFER, _SET_CLOCK),
    "expired": (_CLOCKS_DIFFER, _SET_CLOCK),
    "invalid API key": (
        "{} does not know LIVEKIT_API_KEY: it belongs to another project or server",
        _KEY_STEP,
    ),
    "signature is invalid": (
        "{} knows LIVEKIT_API_KEY, but LIVEKIT_API_SECRET is not its secret",
        _KEY_STEP,
    ),
    "permissions denied": ("the key may not list rooms at {}", _KEY_STEP),
}


async def _sip(context: Context) -> Finding:
    if context.is_dev:
        return skip("none: the LiveKit of `make run` has no SIP, calls come by `make demo`")
    try:
        items = await Trunks(context.livekit).listed()
    except LiveKitRefused as refusal:
        return sip_refused(refusal)
    counts = (f"{kind}s: {sum(item.kind is kind for item in items)}" for kind in Kind)
    return ok(f"available; {', '.join(counts)}")


def sip_refused(refusal: LiveKitRefused) -> Finding:
    if "redis" in refusal.message:
        step = (
            "set the same `redis: address:` in the configurations of livekit-server and "
            "livekit-sip, then restart both"
        )
        return fail("LiveKit has no SIP: it runs without Redis", step)
    if refusal.status in {401, 403}:
        step = f"use a key with the grant to administrate SIP ({_KEY_PLACE})"
        return fail("the key may not list trunks and dispatch rules", step)
    return fail(str(refusal), "see LiveKit's log")
