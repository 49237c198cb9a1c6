"""What must be true after a run; each check yields what is not."""

import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.calls.call import Direction
from tests.chaos.callback_receiver import Callback
from tests.chaos.network import Fault
from tests.chaos.outcome import Outcome, View
from tests.chaos.simulated_call import SimulatedCall

#: The events of a call in their order.
EVENTS = re.compile(r"(call_started )?(transfer_started transfer_ended )*call_ended call_analyzed ")
#: SIP statuses with which callers are rejected: docs/architecture.md, "When something fails".
REJECTIONS = {"480", "486", "503", "603"}
#: Details of the events that follow from what LiveKit does not list; a later one may correct them.
PRESUMED = {"LiveKit has no such room", "not in the room"}
#: The agent may say after the end why it has closed the room.
CORRECTION = ("agent_hangup", "agent_error")
#: How much larger a process may be at the end of the second half than at its beginning.
GROWTH = 1.25
#: Responses to a dispatch: done, refused by the callee or by LiveKit, or to be repeated.
DISPATCH_STATUSES = frozenset({200, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` is wrong with `call_id`, or in general if that is empty."""

    what: str
    call_id: str = ""


Check = Callable[[Outcome], Iterable[Finding]]


def nothing_is_left(outcome: Outcome) -> Iterator[Finding]:
    """No caller, callee, agent or request waits for something, and no room is open."""
    if outcome.running_tasks:
        yield Finding(f"still running: {', '.join(outcome.running_tasks[:10])}")
    for name in outcome.simulation.livekit.live:
        yield Finding("its room is still open", name)


def every_call_has_ended(outcome: Outcome) -> Iterator[Finding]:
    """Each whose id appeared in a response, a room, a callback or the list."""
    if any(outcome.active.values()):
        yield Finding(f"gateways count active calls: {outcome.active}")
    for call_id in _all_call_ids(outcome) - outcome.calls.keys():
        yield Finding("not every gateway knows it", call_id)
    for call_id, call in outcome.calls.items():
        if call["end_timestamp"] is None or not call["disconnection_reason"]:
            yield Finding(f"is {call['call_status']}, not ended", call_id)


def every_receiver_got_all_events(outcome: Outcome) -> Iterator[Finding]:
    """Each event once, in order, to each receiver; an end is final."""
    for call_id, call in outcome.calls.items():
        for path in _callback_paths(call):
            callbacks = outcome.simulation.receiver.callbacks.get((path, call_id), [])
            if problem := _problem(call, callbacks):
                ids = " ".join(it.event_id.removeprefix(f"evt_{call_id}_") for it in callbacks)
                yield Finding(f"{path} received [{ids}]: {problem}", call_id)


def repeated_callbacks_are_equal(outcome: Outcome) -> Iterator[Finding]:
    """And there are none about calls that do not exist."""
    for call_id, problem in outcome.simulation.receiver.problems:
        yield Finding(problem, call_id)
    for call_id in {call_id for _, call_id in outcome.simulation.receiver.callbacks}:
        if call_id not in outcome.calls:
            yield Finding("has callbacks, and no gateway knows it", call_id)


def every_callback_is_delivered(outcome: Outcome) -> Iterator[Finding]:
    for call_id, call in outcome.calls.items():
        deliveries = [it for it in call["deliveries"] if it["status"] != "delivered"]
        if deliveries:
            yield Finding(f"not delivered: {deliveries}", call_id)


def an_idempotency_key_dials_once(outcome: Outcome) -> Iterator[Finding]:
    """However often n8n repeats a dispatch: one telephone rings, and responses name one call."""
    for call in _simulated(outcome, Direction.OUTBOUND):
        if len(call.dialed_rooms) > 1:
            yield Finding(f"one key, dialed as {call.dialed_rooms}", call.dialed_rooms[-1])
        accepted = [response for response in call.dispatch_responses if response.status == 200]
        call_ids = {response.json()["call_id"] for response in accepted}
        if len(call_ids) > 1:
            yield Finding(f"one key, several calls: {sorted(call_ids)}", max(call_ids))
        unexpected = [
            str(response)
            for response in call.dispatch_responses
            if response.status not in DISPATCH_STATUSES
        ]
        if unexpected:
            yield Finding(f"call {call.scenario.number}: dispatch answered {unexpected}")


def every_caller_is_served(outcome: Outcome) -> Iterator[Finding]:
    """Each talks, or is rejected with a documented status; none hears silence for long."""
    for call in outcome.simulation.calls.values():
        call_id = min(call.rooms, default="")
        for problem in call.problems:
            yield Finding(f"call {call.scenario.number}: {problem}", call_id)
        is_expected = call.rejection in {*REJECTIONS, "603, a hook was lost"}
        if call.rejection[:3].isdecimal() and not is_expected:
            yield Finding(f"call {call.scenario.number}: rejected with {call.rejection}", call_id)


def answered_calls_were_answered(outcome: Outcome) -> Iterator[Finding]:
    """A call that a gateway shows as answered had somebody on the line."""
    for call_id, call in outcome.calls.items():
        simulated = outcome.simulated(call_id)
        if not (call["answer_timestamp"] and simulated) or call_id in simulated.answered_rooms:
            continue
        # If the response to a registration was lost there is no room: the fallback answers.
        if call_id in simulated.rooms or not simulated.is_answered_by_fallback:
            yield Finding("is shown as answered, and was not", call_id)


def memory_does_not_grow(outcome: Outcome) -> Iterator[Finding]:
    """Where ended calls are in Redis. A gateway without Redis keeps them itself, and may grow."""
    for name, sizes in outcome.simulation.memory.items():
        quarter = max(1, len(sizes) // 4)
        first, last = statistics.median(sizes[:quarter]), statistics.median(sizes[-quarter:])
        if last > GROWTH * first:
            yield Finding(f"{name} grew from {first / 1e6:.0f} to {last / 1e6:.0f} MB")


def every_stream_is_read(outcome: Outcome) -> Iterator[Finding]:
    """All entries of Redis' streams were read and acknowledged."""
    unread = outcome.redis.unread if outcome.redis else {}
    for stream, entries in unread.items():
        if entries:
            yield Finding(f"{entries} entries of {stream} are unread")


def no_exception_is_logged(outcome: Outcome) -> Iterator[Finding]:
    """None that a gateway does not expect."""
    for gateway in outcome.simulation.gateways.all:
        yield from map(Finding, gateway.defects)


def the_planned_faults_occurred(outcome: Outcome) -> Iterator[Finding]:
    """Without them a run would prove nothing."""
    sent = outcome.simulation.network.counts
    faults = sum(sent[fault] for fault in Fault if fault is not Fault.NONE)
    yield from _share("requests to gateways", faults, faults + sent[Fault.NONE], 0.3)
    counts = outcome.simulation.livekit.counts
    faults, requests = counts["requests with a fault"], counts["requests"]
    yield from _share("requests to LiveKit", faults, requests, 0.1)
    for disturbance in outcome.simulation.settings.disturbances:
        if not outcome.simulation.disturbances[disturbance]:
            yield Finding(f"it did not happen that {disturbance}")


CHECKS: tuple[Check, ...] = (
    nothing_is_left,
    every_call_has_ended,
    every_receiver_got_all_events,
    repeated_callbacks_are_equal,
    every_callback_is_delivered,
    an_idempotency_key_dials_once,
    every_caller_is_served,
    answered_calls_were_answered,
    memory_does_not_grow,
    every_stream_is_read,
    no_exception_is_logged,
    the_planned_faults_occurred,
)


def _all_call_ids(outcome: Outcome) -> set[str]:
    calls = outcome.simulation.calls.values()
    rooms = {room for call in calls for room in call.rooms}
    responses = [it for call in calls for it in call.dispatch_responses if it.status == 200]
    in_callbacks = {call_id for _, call_id in outcome.simulation.receiver.callbacks}
    in_responses = {response.json()["call_id"] for response in responses}
    return rooms | in_callbacks | in_responses | {*outcome.listed}


def _callback_paths(call: View) -> list[str]:
    """Where its callbacks go: n8n names a URL of its own in the dispatch."""
    return ["/n8n", "/all"] if call["direction"] == Direction.OUTBOUND else ["/all"]


def _is_withdrawn(call: View) -> bool:
    """Whether it ended before its dial: who asked for it got an error, and may have asked again."""
    happened = {entry["event"] for entry in call["timeline"]}
    is_dialed = bool(happened & {"dialing", "restored"})
    by_client = call["disconnection_reason"] == "manual_stopped"
    return call["direction"] == Direction.OUTBOUND and not (is_dialed or by_client)


def _problem(call: View, callbacks: list[Callback]) -> str:
    events = [callback.event for callback in callbacks]
    if _is_withdrawn(call):
        return "callbacks about a call that was withdrawn" if events else ""
    if not EVENTS.fullmatch("".join(f"{event} " for event in events)):
        return "not all events in their order"
    if ("call_started" in events) != (call["answer_timestamp"] is not None):
        return f"call_started, with answer_timestamp {call['answer_timestamp']}"
    if ("transfer_started" in events) != (call["transfer"] is not None):
        return f"transfer events, with transfer {call['transfer']}"
    ended = callbacks[events.index("call_ended")].call
    is_presumed = any(entry["detail"] in PRESUMED for entry in call["timeline"])
    is_corrected = (ended["disconnection_reason"], call["disconnection_reason"]) == CORRECTION
    return "" if is_presumed or is_corrected else _changed(ended, call)


def _changed(ended: View, call: View) -> str:
    """What has changed since the call ended: an end is final."""
    for field in ("call_status", "disconnection_reason", "end_timestamp", "duration_ms"):
        if ended[field] != call[field]:
            return f"ended with {field} {ended[field]}, which became {call[field]}"
    return ""


def _simulated(outcome: Outcome, direction: Direction) -> list[SimulatedCall]:
    calls = outcome.simulation.calls.values()
    return [call for call in calls if call.scenario.direction is direction]


def _share(what: str, part: int, whole: int, expected: float) -> Iterator[Finding]:
    if not 0.8 * expected < part / max(1, whole) < 1.2 * expected:
        yield Finding(f"{part} of {whole} {what} had a fault, {expected:.0%} should have")
