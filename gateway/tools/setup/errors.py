"""What LiveKit's refusals mean for somebody who manages trunks, and what to do. Pure."""

from gateway.errors import LiveKitError, LiveKitRefused


def explained(error: LiveKitError) -> str:
    """LiveKit's words, and the next step where one is known."""
    if not isinstance(error, LiveKitRefused):
        return f"{error}; check LIVEKIT_URL"
    # What is no Twirp error, such as the answer to a wrong key, has no words of its own.
    said = str(error) if error.code != "unknown" else f"LiveKit answered {error.status}"
    advice = _advice(error)
    return f"{said}: {advice}" if advice else said


def _advice(refusal: LiveKitRefused) -> str:
    lacks_right = refusal.code in {"unauthenticated", "permission_denied"}
    if refusal.status == 403 or (refusal.status == 401 and lacks_right):
        return (
            "the API key may not manage SIP; give LIVEKIT_API_KEY a key with SIP admin rights, in "
            "LiveKit Cloud one from the project's settings"
        )
    if refusal.status == 401:
        return (
            "LIVEKIT_API_KEY and LIVEKIT_API_SECRET are not a pair that this server knows, or this "
            "machine's clock is wrong"
        )
    if "sip not connected" in refusal.message:
        return "this livekit-server has no Redis configured, and without it no SIP"
    if refusal.status == 404:
        return "no LiveKit server answers there, or one without SIP; check LIVEKIT_URL"
    if refusal.message.startswith("Conflicting"):
        return "somebody has made one meanwhile; see what is there with setup"
    return ""
