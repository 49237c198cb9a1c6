"""Requests for a transfer, of which the first one holds a call, and targets that decline. Pure."""

from dataclasses import replace

from gateway.calls.call import Call, Event


def on_requested(call: Call, event: Event) -> Call:
    """The call with this request, unless another one holds it or the caller is on their way."""
    held = call.transfer_request
    if call.is_transferring or (held and held.expires_at > event.at):
        return call
    return replace(call, transfer_request=event.transfer_request)


def on_refused(call: Call, event: Event) -> Call:
    """The requested transfer has not begun, and another may be requested."""
    return replace(call, transfer_request=None)


def on_declined(call: Call, event: Event) -> Call:
    """Why the target did not accept; the transfer ends once Jambonz has hung up on them."""
    current = call.open_transfer
    return replace(call, transfer=replace(current, reason=event.reason)) if current else call
