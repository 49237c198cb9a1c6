"""Redaction: telephone numbers and secrets are removed from logs, and nothing else is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.redaction import NUMBER, SECRET, mask_fields, mask_text, without_secrets
from gateway.calls.destinations import Credentials
from gateway.config.secret_values import secret_values
from gateway.config.settings import (
    CallbackSettings,
    Config,
    KeyPair,
    LiveKitSettings,
    SecuritySettings,
    StorageSettings,
)


@pytest.mark.parametrize(
    "number",
    [
        "+15550100",
        "61491570156",
        "+61 491 570 156",
        "(555) 010-0123",
        "+1-555-010-0123",
        "+1 (555) 010 0123",
        "0491.570.156",
        "%2B61491570156",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "404 Not Found: {} is unassigned",
        "sip:{}@sip.example.com;transport=tcp",
        "<tel:{}>",
        "sip_{}: CLIENT_INITIATED",
        "/livekit-api/calls/{}/report",
        '{{"to": "{}"}}',
        "{}, {}",
        "dial-{}-b",
    ],
)
def test_numbers_are_masked(number: str, text: str) -> None:
    masked = mask_text(text.format(number, number))
    assert masked == text.format(NUMBER, NUMBER)


@pytest.mark.parametrize(
    "text",
    [
        "call.registered",
        "the room call-12345678-1234-4234-8234-123456789012 is gone",
        "12345678-9abc-4def-8234-123456789012",
        "outbound-1234567890",
        "/livekit-api/calls/outbound-1234567890/deliveries/dlv_outbound-1234567890_call_ended_0/retry",
        "AJ_1234567abcde",
        "at 2026-11-21T12:45:54.123456Z, or 2026-11-21 12:45:54, or 12:45:54.123456",
        "http://192.168.100.200:8000/livekit-api",
        "[2001:db8:1234:5678::1]:8080",
        "jambonz-feature-server 0.9.8, livekit-server 1.13.5",
        "within 0.3333333 s",
        "3 of 200 after 123456 ms",
        "deadbeef1234567890",
    ],
)
def test_digits_that_are_no_telephone_number_stay(text: str) -> None:
    assert mask_text(text) == text


def test_id_fields_are_not_masked() -> None:
    fields = {
        "call_id": "outbound-1234567890",
        "call_sid": "123456789",
        "delivery_id": "1234567890",
        "timestamp": "1767225600000",
        "duration_ms": 12345678,
        "port": 8000,
        "answered": None,
    }
    assert mask_fields(fields) == fields
    assert mask_fields({"call_id": "theirs_+61491570156_x"}) == {"call_id": f"theirs_{NUMBER}_x"}


def test_fields_are_masked_at_any_depth() -> None:
    deep = {"why": {"to": ["+15550100", {"call_id": "1234567", "legs": ("sip:+15550100@x", 7)}]}}
    assert mask_fields(deep) == {
        "why": {"to": [NUMBER, {"call_id": "1234567", "legs": [f"sip:{NUMBER}@x", 7]}]}
    }


def test_other_objects_are_masked_in_their_repr() -> None:
    assert mask_fields({"error": ValueError("+15550100")}) == {"error": f"ValueError('{NUMBER}')"}


@given(st.text(), st.integers(10**6, 10**15 - 1), st.text())
def test_a_number_with_a_plus_is_always_masked(before: str, number: int, after: str) -> None:
    masked = mask_text(f"{before} +{number} {after}")
    assert f"+{number}" not in masked


def test_secrets_are_redacted_in_all_their_forms() -> None:
    config = Config(
        security=SecuritySettings(
            webhook_secrets=("wh_secret_1",), webhook_auth=(Credentials("jambonz", 'q"uo/te'),)
        ),
        livekit=LiveKitSettings(
            api_secret="the-livekit-secret", previous_keys=(KeyPair("APIold", "the-old-one"),)
        ),
        callbacks=CallbackSettings(
            secrets=("whsec_c2VjcmV0c2VjcmV0",), header="X-Callback-Key: short"
        ),
    )
    redact = without_secrets(secret_values(config))
    for form in (
        "wh_secret_1",
        'q"uo/te',
        json.dumps('q"uo/te')[1:-1],
        "q%22uo%2Fte",
        "amFtYm9uejpxInVvL3Rl",  # base64 of jambonz:q"uo/te
        "the-livekit-secret",
        "the-old-one",
        "c2VjcmV0c2VjcmV0",
        "short",
    ):
        line = redact(f"connecting with {form}: refused")
        assert line.replace("whsec_", "") == f"connecting with {SECRET}: refused", form
    assert redact("shortly, in short.") == f"shortly, in {SECRET}."
    assert redact("X-Callback-Key: short") == SECRET


def test_the_password_in_a_url_is_redacted_and_its_host_is_not() -> None:
    url = "rediss://gateway:p%40ss-word@redis.example.com:6379/0?sentinel_password=hush-hush&a=b"
    config = Config(storage=StorageSettings(url=url))
    assert secret_values(config) == {"p%40ss-word", "p@ss-word", "hush-hush"}
    redact = without_secrets(secret_values(config))
    for form in ("p%40ss-word", "p@ss-word", "hush-hush"):
        assert redact(f"AUTH {form} failed") == f"AUTH {SECRET} failed"
    assert (
        redact("redis.example.com:6379 is unavailable") == "redis.example.com:6379 is unavailable"
    )
    assert not secret_values(Config(storage=StorageSettings(url="redis://localhost:6379/0")))


def test_without_secrets_a_line_stays_as_it_is() -> None:
    assert without_secrets([])("a line") == "a line"
    assert without_secrets([""])("a line") == "a line"
