"""Which callbacks a call's changes ask for, and what they say. Pure."""

import hashlib
import json
from collections.abc import Iterator

from gateway.callbacks.delivery import Delivery
from gateway.calls.call import Call, Change
from gateway.calls.views import summary, with_report
from gateway.config.settings import CallbackSettings


class CallbackEvents:
    def __init__(self, settings: CallbackSettings) -> None:
        self._settings = settings

    def deliveries(self, change: Change, now: int) -> list[Delivery]:
        """The deliveries that `change` asks for, in the order they are to arrive in."""
        call = change.after
        if not (call.callback_url or self._settings.urls):
            return []
        return [
            delivery
            for event, event_id in _events(change)
            for delivery in self._deliveries(call, event, event_id, now)
        ]

    def _deliveries(self, call: Call, event: str, event_id: str, now: int) -> Iterator[Delivery]:
        told = with_report(call) if event == "call_analyzed" else summary(call)
        body = json.dumps({"event": event, "event_id": event_id, "call": told})
        for url in self._receivers(call, event):
            # The id tells apart who is told, and is the same however often it is worked out.
            place = hashlib.sha256(url.encode()).hexdigest()[:8]
            yield Delivery(
                delivery_id=f"dlv_{event_id.removeprefix('evt_')}_{place}",
                call_id=call.call_id,
                event=event,
                event_id=event_id,
                url=url,
                body=body,
                created_at=now,
                pending_since=now,
            )

    def _receivers(self, call: Call, event: str) -> list[str]:
        wanted = not call.callback_events or event in call.callback_events
        own = [call.callback_url] if call.callback_url and wanted else []
        return [*own, *(url for url in self._settings.urls if url != call.callback_url)]


def _events(change: Change) -> Iterator[tuple[str, str]]:
    """Name and id; a number in the id tells transfers of one call apart."""
    call = change.after
    of_call = f"evt_{call.call_id}"
    if change.answered:
        yield "call_started", f"{of_call}_call_started"
    if call.transfer and change.transfer_started:
        yield "transfer_started", f"{of_call}_transfer_started_{call.transfer.number}"
    if call.transfer and change.transfer_ended:
        yield "transfer_ended", f"{of_call}_transfer_ended_{call.transfer.number}"
    if change.ended:
        yield "call_ended", f"{of_call}_call_ended"
    if change.report_settled:
        yield "call_analyzed", f"{of_call}_call_analyzed"
