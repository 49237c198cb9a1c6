"""LiveKit: can it be reached, does it know our key, are the clocks alike, is SIP there."""

from email.utils import parsedate_to_datetime
from functools import partial

from gateway.errors import LiveKitRefused
from gateway.livekit.tokens import rooms_token
from gateway.livekit.trunks import Kind, Trunks
from gateway.tools.doctor.check import Check, Finding, fail, ok, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.web import Answer, NoAnswer, place

#: How far the clocks may be apart, in s. LiveKit takes tokens that begin up to 60 s from now.
SKEW_WARN = 5.0
SKEW_FAIL = 60.0
#: The header's clock is in whole seconds: on average half of one has gone.
HALF_SECOND = 0.5

_CHECK_URL = "check LIVEKIT_URL in .env.local, and that the server runs"
_SET_CLOCK = "set the clocks by NTP: timedatectl set-ntp true, here or on LiveKit's machine"
_KEY_PLACE = "LiveKit Cloud: Settings, Keys; a server of your own: `keys` in its configuration"


def checks(site: Context) -> list[Check]:
    return [
        Check("livekit", "LiveKit", partial(_reachable, site)),
        Check("clock", "clock", partial(_clock, site), needs=("livekit",)),
        Check("livekit_key", "LiveKit key", partial(_key, site), needs=("livekit",)),
        Check("livekit_sip", "LiveKit SIP", partial(_sip, site), needs=("livekit_key",)),
    ]


def http_url(url: str) -> str:
    """LIVEKIT_URL for plain requests: `ws` and `wss` speak HTTP as well."""
    return f"http{url.removeprefix('ws')}".rstrip("/") if url.startswith("ws") else url.rstrip("/")


async def _reachable(site: Context) -> Finding:
    url = site.config.livekit.url
    try:
        answer = await site.web.ask(http_url(url))
    except NoAnswer as error:
        return fail(str(error), _step_to(url, str(error)))
    # Any other status may be a proxy's that hands on LiveKit's own paths only.
    if answer.status >= 500:
        saw = f"{place(url)} answers {answer.status}: something is there, but LiveKit is not"
        return fail(saw, _CHECK_URL)
    return ok(f"{place(url)} answers in {answer.took * 1000:.0f} ms")


def _step_to(url: str, trouble: str) -> str:
    if "speak TLS" in trouble:
        return f"LIVEKIT_URL=ws://{place(url)} if that server has no TLS, else its TLS port"
    return _CHECK_URL


async def _clock(site: Context) -> Finding:
    answer = await site.web.ask(http_url(site.config.livekit.url))
    return clock(answer.headers.get("Date", ""), answer.at - answer.took / 2)


def clock(date: str, asked_at: float) -> Finding:
    """LiveKit's `Date` header (RFC 9110 §6.6.1) against ours, in s since epoch, of that moment."""
    try:
        theirs = parsedate_to_datetime(date).timestamp() + HALF_SECOND
    except ValueError:
        return ok("LiveKit does not tell its time")
    skew = asked_at - theirs
    if abs(skew) <= 1:
        return ok("LiveKit's is the same as ours")
    saw = f"ours is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} LiveKit's"
    if abs(skew) > SKEW_FAIL:
        return fail(f"{saw}: it refuses our tokens, or we its webhooks", _SET_CLOCK)
    return warn(saw, _SET_CLOCK) if abs(skew) > SKEW_WARN else ok(saw)


async def _key(site: Context) -> Finding:
    """Asked directly: livekit-api keeps back what LiveKit says to a token it does not take."""
    settings = site.config.livekit
    answer = await site.web.ask(
        f"{http_url(settings.url)}/twirp/livekit.RoomService/ListRooms",
        method="POST",
        headers={
            "Authorization": f"Bearer {rooms_token(settings.api_key, settings.api_secret)}",
            "Content-Type": "application/json",
        },
        body=b'{"names": ["-"]}',
    )
    return key(answer, place(settings.url))


def key(answer: Answer, where: str) -> Finding:
    """What LiveKit `where` said to our token. Its words stay out: they repeat the token."""
    told = answer.body.decode(errors="replace")
    if answer.status == 200:
        return ok("LIVEKIT_API_KEY and LIVEKIT_API_SECRET are right")
    if answer.status not in {401, 403}:
        step = "its log tells more; LIVEKIT_URL must be the server's address without a path"
        return fail(f"{where} answers {answer.status} to a list of rooms", step)
    for words, meaning in _REFUSALS.items():
        if words in told:
            saw, step = meaning
            return fail(saw.format(where), step)
    saw, step = _REFUSED
    return fail(saw.format(where), step)


_KEY_STEP = f"put the key and secret of that project or server into .env.local ({_KEY_PLACE})"
_OTHER_TIME = "{} takes our token for one of another time: the clocks differ"
_REFUSED = ("{} does not accept LIVEKIT_API_KEY with LIVEKIT_API_SECRET", _KEY_STEP)
#: What a refusal means, by words of livekit-server 1.13.5 in it.
_REFUSALS = {
    "not valid yet": (_OTHER_TIME, _SET_CLOCK),
    "expired": (_OTHER_TIME, _SET_CLOCK),
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


async def _sip(site: Context) -> Finding:
    try:
        items = await Trunks(site.livekit).listed()
    except LiveKitRefused as refusal:
        return sip_refused(refusal)
    counts = (f"{kind}s: {sum(item.kind is kind for item in items)}" for kind in Kind)
    return ok(f"is there; {', '.join(counts)}")


def sip_refused(refusal: LiveKitRefused) -> Finding:
    if "redis" in refusal.message:
        step = (
            "give livekit-server and livekit-sip the same `redis: address:` in their "
            "configurations, then start both again"
        )
        return fail("LiveKit has no SIP: it runs without Redis", step)
    if refusal.status in {401, 403}:
        step = f"use a key that may administrate SIP ({_KEY_PLACE})"
        return fail("the key may not see trunks and rules", step)
    return fail(str(refusal), "its log tells more")
