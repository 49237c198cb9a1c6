"""LiveKit's errors on trunks and rules: what they mean, and the next step. Does no I/O."""

from gateway.errors import LiveKitError, LiveKitRefused


def explain(error: LiveKitError) -> str:
    """LiveKit's message, followed by the next step where one is known."""
    if not isinstance(error, LiveKitRefused):
        return f"{error}; check LIVEKIT_URL"
    # A response that is no Twirp error, such as that to a wrong key, has no message.
    message = str(error) if error.code != "unknown" else f"LiveKit answered {error.status}"
    advice = _advice(error)
    return f"{message}: {advice}" if advice else message


def _advice(error: LiveKitRefused) -> str:
    lacks_permission = error.code in {"unauthenticated", "permission_denied"}
    if error.status == 403 or (error.status == 401 and lacks_permission):
        return (
            "the API key may not manage SIP; set LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a key "
            "with SIP admin permission (LiveKit Cloud: the project's settings)"
        )
    if error.status == 401:
        return (
            "the server does not know this pair of LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or the "
            "clock of this machine is wrong"
        )
    if error.has_no_sip:
        return "this livekit-server has no Redis configured, and without Redis it has no SIP"
    if error.status == 404:
        return "no LiveKit server answers at this address, or one without SIP; check LIVEKIT_URL"
    if error.message.startswith("Conflicting"):
        return "something else created one in the meantime; run setup again to see it"
    return ""
