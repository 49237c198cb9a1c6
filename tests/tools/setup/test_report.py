"""What setup prints for LiveKit's errors."""

import pytest

from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from gateway.tools.setup.errors import explain


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            LiveKitRefused("unauthenticated", "permissions denied", status=401),
            "SIP admin",
        ),
        (LiveKitRefused("permission_denied", "no", status=403), "SIP admin"),
        (
            LiveKitRefused("unknown", "unknown", status=401),
            "LiveKit answered 401: the server",
        ),
        (LiveKitRefused("internal", "sip not connected (redis required)", status=500), "no Redis"),
        (LiveKitRefused("bad_route", "no handler", status=404), "check LIVEKIT_URL"),
        (
            LiveKitRefused("invalid_argument", "Conflicting inbound SIP", status=400),
            "in the meantime",
        ),
        (LiveKitRefused("internal", "disk full", status=500), "disk full"),
        (LiveKitUnreachable("LiveKit cannot be reached: x"), "check LIVEKIT_URL"),
    ],
)
def test_the_explanation_of_a_refusal(error: LiveKitError, text: str) -> None:
    assert text in explain(error)
