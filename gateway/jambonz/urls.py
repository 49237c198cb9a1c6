"""URLs of hooks, as verbs give them to Jambonz. Pure."""

from collections.abc import Mapping
from urllib.parse import urlencode

#: Has Jambonz repeat a hook five times on connection errors and 5xx: the last time 13.5 s later, by
#: when a gateway has restarted. It reads this in absolute URLs only (jambonz-feature-server 0.9.8).
RETRY = "#rc=5&rp=ct,5xx"

CALL_HOOK = "/livekit-api"
CALL_STATUS_HOOK = "/livekit-api/call-status"
DIAL_ACTION = "/livekit-api/dial-action"
REFER_HOOK = "/livekit-api/refer"
TRANSFER_ACTION = "/livekit-api/transfer-action"
CONFIRM_HOOK = "/livekit-api/confirm"
CONFIRM_ACTION = "/livekit-api/confirm-action"
QUEUE_WAIT = "/livekit-api/queue-wait"
QUEUE_ACTION = "/livekit-api/queue-action"


def hook_url(public_url: str, path: str, **query: object) -> str:
    """The URL of a hook: absolute and repeated by Jambonz, or relative without a `public_url`."""
    relative = f"{path}?{urlencode(query)}" if query else path
    return f"{public_url.rstrip('/')}{relative}{RETRY}" if public_url else relative


def relative_hooks(verb: Mapping[str, object], public_url: str) -> dict[str, object]:
    """`verb` with its hooks made relative: Jambonz posts such to the socket that it got them by."""
    prefix = public_url.rstrip("/")
    return {
        key: value.removeprefix(prefix).partition("#")[0]
        if key.endswith("Hook") and isinstance(value, str)
        else value
        for key, value in verb.items()
    }
