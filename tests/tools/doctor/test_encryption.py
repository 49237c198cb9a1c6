"""The check of encryption: what is secured by half is named, with the step that completes it."""

from typing import Any

import pytest

from gateway.explanation.status import Status
from gateway.livekit.trunks import Kind, SipItem, mark
from gateway.tools.doctor.encryption import encryption
from tests.conftest import ConfigMaker

SDES = {"sip_transport": "tls", "sip_media_encryption": "sdes"}
TLS_ONLY = {"sip_transport": "tls"}
REQUIRE, ALLOW = "SIP_MEDIA_ENCRYPT_REQUIRE", "SIP_MEDIA_ENCRYPT_ALLOW"


def trunk(kind: Kind, encrypted: str = "", **fields: Any) -> SipItem:
    media = {"media": {"encryption": encrypted}} if encrypted else {"media": {}}
    return SipItem(kind, "ST_1", {"metadata": mark(), **media, **fields})


def inbound(encrypted: str = "") -> SipItem:
    return trunk(Kind.INBOUND_TRUNK, encrypted)


def outbound(encrypted: str = "", transport: str = "SIP_TRANSPORT_TLS") -> SipItem:
    return trunk(Kind.OUTBOUND_TRUNK, encrypted, transport=transport)


@pytest.mark.parametrize(
    ("livekit", "items", "status", "message"),
    [
        ({}, [inbound(), outbound()], Status.OK, "off between Jambonz and LiveKit"),
        (SDES, [inbound(REQUIRE), outbound(REQUIRE)], Status.OK, "by TLS, audio by SRTP"),
        (TLS_ONLY, [inbound()], Status.WARN, "by TLS, but sends the audio unencrypted"),
        (SDES, [inbound()], Status.FAIL, "does not take the encrypted audio"),
        (SDES, [inbound(ALLOW)], Status.WARN, "takes unencrypted audio as well"),
        ({}, [inbound(REQUIRE)], Status.FAIL, "requires encrypted audio"),
        (SDES, [inbound(REQUIRE), outbound()], Status.WARN, "the audio unencrypted"),
        ({}, [outbound(ALLOW, "")], Status.WARN, "sends the keys without TLS"),
    ],
)
def test_a_half_secured_path_is_named(
    make_config: ConfigMaker,
    *,
    livekit: dict[str, str],
    items: list[SipItem],
    status: Status,
    message: str,
) -> None:
    config = make_config({"SIP_OUTBOUND_TRUNK_ID": ""}, livekit=livekit)
    finding = encryption(config, items)
    assert (finding.status, message in finding.message) == (status, True), finding
    assert bool(finding.next) is (status is not Status.OK)


def test_with_the_participant_strategy_only_the_outbound_trunk_counts(
    make_config: ConfigMaker,
) -> None:
    config = make_config(livekit=TLS_ONLY, inbound={"strategy": "participant"})
    assert encryption(config, [inbound(REQUIRE), outbound(ALLOW)]).status is Status.OK
