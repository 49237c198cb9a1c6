"""Who a call is really from, and who diverted it, by the headers that carriers send."""

import pytest

from gateway.jambonz.identity import Diversion, asserted_identity, diversion


@pytest.mark.field("C11")
@pytest.mark.parametrize(
    ("header", "identity"),
    [
        ('"Zoë" <sip:+61491570006@carrier.example.com;user=phone>', "+61491570006"),
        ("<sip:zoe@pbx.example.com>, <tel:+61491570006>", "sip:zoe@pbx.example.com"),
        ("undefined, <tel:+61-491-570-006>", "+61491570006"),
        ("", ""),
    ],
)
def test_the_carrier_vouches_for_a_caller(header: str, identity: str) -> None:
    assert asserted_identity({"p-asserted-identity": header}) == identity
    assert asserted_identity({"P-Asserted-Identity": header}) == identity


@pytest.mark.field("C11")
@pytest.mark.parametrize(
    ("headers", "diverted"),
    [
        (
            {"Diversion": "<tel:+61255501234>;reason=no-answer;counter=1, <tel:+61255509999>"},
            Diversion("+61255501234", "no-answer"),
        ),
        (
            {"diversion": '"Desk" <sip:desk@pbx.example.com>;privacy=off;reason="user-busy"'},
            Diversion("sip:desk@pbx.example.com", "user-busy"),
        ),
        (
            {
                "History-Info": "<sip:+61255501234@example.com?Reason=SIP%3Bcause%3D486>;index=1, "
                "<sip:+61255509999@example.com>;index=1.1"
            },
            Diversion("+61255501234", "user-busy"),
        ),
        (
            {
                "history-info": "<sip:a@example.com>;index=1, <sip:+61255501234@example.com>;"
                "index=1.1, <sip:+61255509999@example.com;cause=302>;index=1.1.1;mp=1"
            },
            Diversion("+61255501234", "unconditional"),
        ),
        ({"history-info": "<sip:+61255509999@example.com>;index=1"}, Diversion()),
        ({"Diversion": "<tel:+61255501234>", "History-Info": "x, y"}, Diversion("+61255501234")),
        ({"Diversion": "<>, ;;"}, Diversion()),
        ({}, Diversion()),
    ],
)
def test_the_last_diversion_is_found(headers: dict[str, str], diverted: Diversion) -> None:
    assert diversion(headers) == diverted
