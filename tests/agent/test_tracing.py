"""What of livekit-agents' spans leaves the worker."""

import logging

import pytest

from agent.logs import _Seldom
from agent.tracing import without_people


def test_of_a_telephone_only_ids_are_exported() -> None:
    attributes: dict[str, str | float] = {
        "lk.sip.callID": "SCL_1",
        "lk.sip.trunkID": "ST_1",
        "lk.sip.trunkPhoneNumber": "+15550199",
        "lk.sip.h.x-account-code": "em-01",
        "lk.sip.h.p-asserted-identity": '"Zoe" <sip:+15550100@sbc.example>',
        "lk.e2e_latency": 0.5,
    }
    assert without_people(attributes) == {
        "lk.sip.callID": "SCL_1",
        "lk.sip.trunkID": "ST_1",
        "lk.e2e_latency": 0.5,
    }


def test_what_each_job_finds_out_anew_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("agent.logs.time.monotonic", lambda: now[0])
    seldom = _Seldom()

    def passes(text: str) -> bool:
        return bool(seldom.filter(logging.makeLogRecord({"msg": text})))

    assert passes("tracing.collector_unavailable")
    assert not passes("tracing.collector_unavailable")
    assert passes("call.over")
    assert passes("call.over")
    now[0] += 601
    assert passes("tracing.collector_unavailable")
