"""What setup prints: it fits, it says what refusals mean."""

import pytest

from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from gateway.tools.setup.errors import explained
from gateway.tools.setup.table import WIDTH, table


def test_cells_are_wrapped_and_addresses_are_not() -> None:
    url = "https://" + "x" * 90
    shown = table([("a", "b c " * 10, f"why {url}\nand more"), ("d", "", "e")], (4, 12))
    lines = shown.splitlines()
    assert lines[0].startswith("a     b c b c b c ")
    assert [line for line in lines if line.endswith(url)]
    assert all(len(line) <= WIDTH for line in lines if url not in line)
    assert lines[-1] == "d                   e"


def test_what_would_steer_a_terminal_is_not_printed() -> None:
    assert table([("\x1b[2Jname\r", "x")], (20,)) == "�[2Jname�             x"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (LiveKitRefused("unauthenticated", "permissions denied", status=401), "SIP admin rights"),
        (LiveKitRefused("permission_denied", "no", status=403), "SIP admin rights"),
        (LiveKitRefused("unknown", "unknown", status=401), "LiveKit answered 401: LIVEKIT_API_KEY"),
        (LiveKitRefused("internal", "sip not connected (redis required)", status=500), "no Redis"),
        (LiveKitRefused("bad_route", "no handler", status=404), "check LIVEKIT_URL"),
        (LiveKitRefused("invalid_argument", "Conflicting inbound SIP", status=400), "meanwhile"),
        (LiveKitRefused("internal", "disk full", status=500), "disk full"),
        (LiveKitUnreachable("LiveKit cannot be reached: x"), "check LIVEKIT_URL"),
    ],
)
def test_what_a_refusal_means(error: LiveKitError, says: str) -> None:
    assert says in explained(error)
