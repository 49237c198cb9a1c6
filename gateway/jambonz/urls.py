"""Where Jambonz is to post its later hooks. Pure."""

from urllib.parse import urlencode

#: Asks Jambonz to repeat a hook on connection errors and 5xx; understood on absolute URLs only.
RETRY = "#rc=3&rp=ct,5xx"

CALL_HOOK = "/livekit-api"
CALL_STATUS_HOOK = "/livekit-api/call-status"


def hook_url(public_url: str, path: str, **query: object) -> str:
    """`path` with its `query`: relative, or absolute and repeatable where `public_url` is known."""
    asked = f"{path}?{urlencode(query)}" if query else path
    return f"{public_url.rstrip('/')}{asked}{RETRY}" if public_url else asked
