"""Hooks generated from Jambonz 11's schemas: whatever they may hold, the gateway takes them."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from marshmallow import Schema

from gateway.api.schemas.hooks import (
    CallHookSchema,
    DialHookSchema,
    GatherHookSchema,
    QueueHookSchema,
    ReferHookSchema,
    StatusHookSchema,
    UrlHookSchema,
)
from gateway.calls.call import EventKind
from gateway.calls.reasons import DisconnectionReason
from gateway.jambonz import urls
from gateway.jambonz.hooks import (
    CallHook,
    DialHook,
    QueueHook,
    StatusHook,
    dial_event,
    queue_event,
    status_event,
)
from gateway.jambonz.identity import asserted_identity, diversion
from gateway.tools.simulate.jambonz import HookRefused
from tests.conftest import Client, get_call, jambonz_for, list_calls
from tests.jambonz.schemas import HOOK_SCHEMAS, assert_valid_hook, assert_valid_verbs, hook_schema

LOADERS: Mapping[str, Schema] = {
    urls.CALL_HOOK: CallHookSchema(),
    urls.CALL_STATUS_HOOK: StatusHookSchema(),
    urls.DIAL_ACTION: DialHookSchema(),
    urls.TRANSFER_ACTION: DialHookSchema(),
    urls.REFER_HOOK: ReferHookSchema(),
    urls.CONFIRM_HOOK: UrlHookSchema(),
    urls.CONFIRM_ACTION: GatherHookSchema(),
    urls.QUEUE_WAIT: UrlHookSchema(),
    urls.QUEUE_ACTION: QueueHookSchema(),
}
#: What every hook of a live Jambonz has, though the schemas require it of none.
LEG = {"call_sid": "sid-1", "call_status": "in-progress"}
OF_CALL = {
    *(urls.TRANSFER_ACTION, urls.CONFIRM_HOOK, urls.CONFIRM_ACTION),
    *(urls.QUEUE_WAIT, urls.QUEUE_ACTION),
}
QUERY = dict.fromkeys(OF_CALL, "?call_id=1")


def test_every_hook_has_a_loader() -> None:
    assert set(LOADERS) == set(HOOK_SCHEMAS)


def values(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that are valid by `schema`, as far as the hooks' schemas use JSON Schema."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    schema = schema.get("oneOf", [schema])[0]
    kind = schema.get("type")
    if isinstance(kind, list):
        return st.one_of([values({"type": each}) for each in kind])
    if kind == "object":
        return objects(schema)
    return _SIMPLE.get(kind, st.one_of(st.text(max_size=40), st.sampled_from(TEXTS)))


#: Texts that a field may be parsed for.
TEXTS = (
    'Q.850;cause=18;text="No, nobody"',
    "SIP;cause=480, Q.850 ;cause=16",
    '"Zoë" <sip:+61491570006@carrier.example.com>',
    "<tel:+61255501234>;reason=no-answer",
    "undefined",
    "x" * 5_000,
)
_SIMPLE: Mapping[Any, st.SearchStrategy[Any]] = {
    "integer": st.integers(),
    "number": st.integers(),
    "boolean": st.booleans(),
    "array": st.lists(st.dictionaries(st.text(), st.text(), max_size=2), max_size=2),
}
HEADERS = st.sampled_from(["P-Asserted-Identity", "diversion", "History-Info", "X-Account-Code"])


def objects(schema: Mapping[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    properties = {name: values(each) for name, each in schema.get("properties", {}).items()}
    required = {name: properties.pop(name) for name in schema.get("required", ())}
    known = st.fixed_dictionaries(required, optional=properties)
    extra = schema.get("additionalProperties", True)
    if extra is True:
        return known
    return st.dictionaries(st.one_of(HEADERS, st.text()), values(extra), max_size=3)


@pytest.mark.parametrize("path", LOADERS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_hook_of_any_content_is_loaded(path: str, data: st.DataObject) -> None:
    payload = LEG | data.draw(objects(hook_schema(path))) | {"call_sid": "sid-1"}
    assert_valid_hook(path, payload)
    hook = LOADERS[path].load(payload)
    match hook:
        case CallHook():
            assert hook.is_outbound is (payload.get("direction") == "outbound")
            assert len(asserted_identity(hook.headers)) <= 300
            assert len(diversion(hook.headers).party) <= 300
        case StatusHook():
            status_event(hook, 1)
        case DialHook():
            dial_event(hook, 1)
        case QueueHook():
            queue_event(hook, 1)


@pytest.mark.parametrize("path", LOADERS)
async def test_every_documented_property_is_taken(gateway: Client, path: str) -> None:
    for name, schema in hook_schema(path)["properties"].items():
        value = schema.get("enum", [None])[0] or _example(schema)
        required = {"refer_details": {"sip_refer_to": "<tel:+61491570156>"}, "queue_time": 1}
        payload = {**required, "queue_sid": "q", "queue_result": "leave", **LEG, name: value}
        assert_valid_hook(path, payload)
        post = jambonz_for(gateway)._post(path + QUERY.get(path, ""), payload)
        if path == urls.REFER_HOOK:
            with pytest.raises(HookRefused, match="answered 404"):  # no such call
                await post
        elif answer := await post:
            assert_valid_verbs(answer)


def _example(schema: Mapping[str, Any]) -> Any:
    examples = {"integer": 1, "object": {}, "array": [], "string": "text"}
    kind = schema["type"]
    return examples[kind if isinstance(kind, str) else kind[0]]


async def test_jambonz_11_says_more_about_a_call(gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    api = "https://api.jambonz.example.com/v1"
    hook = {**jambonz._leg("trying", 100), "api_base_url": api, "trace_id": "1f"}
    await jambonz._post("/livekit-api", hook)
    await jambonz.status("queued", 100)
    await jambonz.far_status("early-media", 183)
    (call,) = (await list_calls(gateway))["calls"]
    assert call["call_status"] == "ringing"
    cause = 'Q.850;cause=16;text="Normal call clearing"'
    ended = {"call_termination_by": "caller", "sip_reason_header": cause, "sip_reason": "Cancel"}
    await jambonz.status("no-answer", 487, **ended)
    shown_call = await get_call(gateway, call["call_id"])
    assert shown_call["jambonz"]["api_base_url"] == api
    assert shown_call["sip"] == {
        "status": 487,
        "reason": "Cancel (Q.850 cause 16, Normal call clearing)",
    }
    assert shown_call["disconnection_reason"] == DisconnectionReason.USER_HANGUP
    assert EventKind.RINGING in [entry["event"] for entry in shown_call["timeline"]]
