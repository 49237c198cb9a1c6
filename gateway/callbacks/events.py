"""Callback events: which ones a change of a call causes, their bodies and receivers. Pure."""

import hashlib
import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from gateway.callbacks.delivery import Delivery
from gateway.calls.call import Call
from gateway.calls.change import Change
from gateway.calls.views import summary, with_report
from gateway.config.settings import CallbackSettings


class CallbackEvent(StrEnum):
    """The `event` of a callback, in the order in which a call causes them."""

    CALL_STARTED = "call_started"
    TRANSFER_STARTED = "transfer_started"
    TRANSFER_ENDED = "transfer_ended"
    CALL_ENDED = "call_ended"
    CALL_ANALYZED = "call_analyzed"


def deliveries(change: Change, settings: CallbackSettings, now: int) -> list[Delivery]:
    """The deliveries that `change` causes, in the order to send them; `now` in ms since epoch.

    None about a call that was withdrawn: whoever asked for it got an error, and may have asked for
    another call by now.
    """
    call = change.after
    if call.is_withdrawn or not (call.callback_url or settings.urls):
        return []
    return [
        delivery
        for event, event_id in _events(change)
        for delivery in _deliveries(call, event, event_id, settings, now)
    ]


def callback_body(call: Call, event: CallbackEvent, event_id: str) -> dict[str, Any]:
    """The JSON of a callback."""
    view = with_report(call) if event is CallbackEvent.CALL_ANALYZED else summary(call)
    return {"event": event, "event_id": event_id, "call": view}


def _events(change: Change) -> Iterator[tuple[CallbackEvent, str]]:
    """Each event with its id, which is the same however often the change is computed."""
    call = change.after
    if change.answered:
        yield _event(call, CallbackEvent.CALL_STARTED)
    if call.transfer and change.transfer_started:
        yield _event(call, CallbackEvent.TRANSFER_STARTED, f"_{call.transfer.number}")
    if call.transfer and change.transfer_ended:
        yield _event(call, CallbackEvent.TRANSFER_ENDED, f"_{call.transfer.number}")
    if change.ended:
        yield _event(call, CallbackEvent.CALL_ENDED)
    if change.report_settled:
        yield _event(call, CallbackEvent.CALL_ANALYZED)


def _event(call: Call, event: CallbackEvent, suffix: str = "") -> tuple[CallbackEvent, str]:
    return event, f"evt_{call.call_id}_{event}{suffix}"


def _deliveries(
    call: Call, event: CallbackEvent, event_id: str, settings: CallbackSettings, now: int
) -> Iterator[Delivery]:
    body = json.dumps(callback_body(call, event, event_id))
    for url in _receivers(call, event, settings):
        receiver = hashlib.sha256(url.encode()).hexdigest()[:8]
        yield Delivery(
            delivery_id=f"dlv_{event_id.removeprefix('evt_')}_{receiver}",
            call_id=call.call_id,
            event=event,
            event_id=event_id,
            url=url,
            body=body,
            created_at=now,
            pending_since=now,
            traceparent=call.traceparent,
        )


def _receivers(call: Call, event: CallbackEvent, settings: CallbackSettings) -> list[str]:
    wants_event = not call.callback_events or event in call.callback_events
    own = [call.callback_url] if call.callback_url and wants_event else []
    return [*own, *(url for url in settings.urls if url != call.callback_url)]
