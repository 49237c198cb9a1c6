"""What must be true when all is over; each check returns what is not."""

import re
import statistics
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.calls.call import Direction
from tests.chaos.audience import Heard
from tests.chaos.outcome import Outcome, View
from tests.chaos.scene import Scene

#: All that is told of a call, in order. Which of it, its state says.
STORY = re.compile(r"(call_started )?(transfer_started transfer_ended )*call_ended call_analyzed ")
#: SIP statuses that callers are refused with: docs/architecture.md, "When something fails".
REFUSALS = {"480", "486", "503"}
#: How much larger a process may be at the end of the second half than at its beginning.
GROWTH = 1.25
#: Answers to a dispatch: made, refused by the callee or LiveKit, or worth asking again.
DISPATCHED = frozenset({200, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Finding:
    """`what` is wrong with `call_id`, or with the whole where there is none."""

    what: str
    call_id: str = ""


Check = Callable[[Outcome], Iterable[Finding]]


def nobody_waits(outcome: Outcome) -> Iterator[Finding]:
    """No caller, callee, agent or request is left, nor a room."""
    if outcome.waiting:
        yield Finding(f"still at it: {', '.join(outcome.waiting[:10])}")
    for name in outcome.world.livekit.live:
        yield Finding("its room is still there", name)


def every_call_has_ended(outcome: Outcome) -> Iterator[Finding]:
    """Each that has a name: in an answer, a room, a callback or the list."""
    if any(outcome.active.values()):
        yield Finding(f"calls that gateways say are active: {outcome.active}")
    for call_id in _named(outcome) - outcome.calls.keys():
        yield Finding("not every gateway knows it", call_id)
    for call_id, call in outcome.calls.items():
        if call["end_timestamp"] is None or not call["disconnection_reason"]:
            yield Finding(f"is {call['call_status']}, not ended", call_id)


def every_call_is_told_in_full(outcome: Outcome) -> Iterator[Finding]:
    """Once each, in order, nothing missing, to everybody who asked; an end is final."""
    for call_id, call in outcome.calls.items():
        for path in _paths(call):
            heard = outcome.world.audience.told.get((path, call_id), [])
            if problem := _problem(call, heard):
                told = " ".join(one.event_id.removeprefix(f"evt_{call_id}_") for one in heard)
                yield Finding(f"{path} heard [{told}]: {problem}", call_id)


def no_callback_changes(outcome: Outcome) -> Iterator[Finding]:
    """What is delivered again is the same; nobody hears of a call that there is not."""
    for call_id, complaint in outcome.world.audience.complaints:
        yield Finding(complaint, call_id)
    for call_id in {call_id for _, call_id in outcome.world.audience.told}:
        if call_id not in outcome.calls:
            yield Finding("was told of, and no gateway knows it", call_id)


def every_callback_is_delivered(outcome: Outcome) -> Iterator[Finding]:
    for call_id, call in outcome.calls.items():
        waiting = [one for one in call["deliveries"] if one["status"] != "delivered"]
        if waiting:
            yield Finding(f"not delivered: {waiting}", call_id)


def no_key_dials_twice(outcome: Outcome) -> Iterator[Finding]:
    """However often n8n asks, one telephone rings once, and one call is the answer."""
    for scene in _scenes(outcome, Direction.OUTBOUND):
        if len(scene.dialed) > 1:
            yield Finding(f"one key, dialed as {scene.dialed}", scene.dialed[-1])
        named = {one.json()["call_id"] for one in scene.dispatched if one.status == 200}
        if len(named) > 1:
            yield Finding(f"one key, answered with {sorted(named)}", max(named))
        odd = [one for one in scene.dispatched if one.status not in DISPATCHED]
        if odd:
            yield Finding(f"call {scene.script.number}: dispatch answered {[*map(str, odd)]}")


def every_caller_is_served(outcome: Outcome) -> Iterator[Finding]:
    """Everybody got verbs, then a talk or a refusal that is documented; nobody sat in silence."""
    for scene in outcome.world.scenes.values():
        call_id = min(scene.rooms, default="")
        for complaint in scene.complaints:
            yield Finding(f"call {scene.script.number}: {complaint}", call_id)
        if scene.refusal[:3].isdecimal() and scene.refusal not in {*REFUSALS, "603, unheard"}:
            yield Finding(f"call {scene.script.number}: sent away with {scene.refusal}", call_id)


def nobody_is_made_up(outcome: Outcome) -> Iterator[Finding]:
    """A call that is told of as answered was: somebody had been on the line."""
    for call_id, call in outcome.calls.items():
        scene = outcome.scene(call_id)
        if not (call["answer_timestamp"] and scene) or call_id in scene.answered:
            continue
        # A call whose registration lost its answer has no room, and its caller has the fallback.
        if call_id in scene.rooms or not scene.is_answered_elsewhere:
            yield Finding("is told to have been answered, and was not", call_id)


def memory_is_flat(outcome: Outcome) -> Iterator[Finding]:
    """Ended calls are in Redis. One without it keeps them itself, and is not looked at."""
    for name, sizes in outcome.world.memory.items():
        quarter = max(1, len(sizes) // 4)
        first, last = statistics.median(sizes[:quarter]), statistics.median(sizes[-quarter:])
        if last > GROWTH * first:
            yield Finding(f"{name} grew from {first / 1e6:.0f} to {last / 1e6:.0f} MB")


def redis_has_nothing_to_do(outcome: Outcome) -> Iterator[Finding]:
    """Whatever was put into a stream has been read, and dealt with."""
    unread = outcome.redis.unread if outcome.redis else {}
    for stream, entries in unread.items():
        if entries:
            yield Finding(f"{entries} entries of {stream} wait")


def no_gateway_was_surprised(outcome: Outcome) -> Iterator[Finding]:
    """No exception in a log that nobody had thought of."""
    for gateway in outcome.world.fleet.gateways:
        yield from map(Finding, gateway.defects)


def the_world_was_rough(outcome: Outcome) -> Iterator[Finding]:
    """As rough as it is to be: a calm run would prove nothing."""
    letters = outcome.world.network.tally
    troubles = sum(letters[fate] for fate in ("dropped", "doubled", "delayed", "swapped"))
    yield from _share("letters", troubles, troubles + letters["arrives"], 0.3)
    asked = outcome.world.livekit.tally
    yield from _share("requests to LiveKit", asked["troubled"], asked["requests"], 0.1)


CHECKS: tuple[Check, ...] = (
    nobody_waits,
    every_call_has_ended,
    every_call_is_told_in_full,
    no_callback_changes,
    every_callback_is_delivered,
    no_key_dials_twice,
    every_caller_is_served,
    nobody_is_made_up,
    memory_is_flat,
    redis_has_nothing_to_do,
    no_gateway_was_surprised,
    the_world_was_rough,
)


def _named(outcome: Outcome) -> set[str]:
    scenes = outcome.world.scenes.values()
    rooms = {room for scene in scenes for room in scene.rooms}
    answers = [one for scene in scenes for one in scene.dispatched if one.status == 200]
    heard = {call_id for _, call_id in outcome.world.audience.told}
    return rooms | heard | {*outcome.listed} | {answer.json()["call_id"] for answer in answers}


def _paths(call: View) -> list[str]:
    """Where it is told of: n8n gave an address of its own."""
    return ["/n8n", "/all"] if call["direction"] == Direction.OUTBOUND else ["/all"]


def _problem(call: View, heard: list[Heard]) -> str:
    events = [one.event for one in heard]
    if not STORY.fullmatch("".join(f"{event} " for event in events)):
        return "not the whole story in its order"
    if ("call_started" in events) != (call["answer_timestamp"] is not None):
        return f"call_started, with answer_timestamp {call['answer_timestamp']}"
    if ("transfer_started" in events) != (call["transfer"] is not None):
        return f"transfers told, with transfer {call['transfer']}"
    ended = heard[events.index("call_ended")].call
    for field in ("call_status", "disconnection_reason", "end_timestamp", "duration_ms"):
        if ended[field] != call[field]:
            return f"ended with {field} {ended[field]}, which became {call[field]}"
    return ""


def _scenes(outcome: Outcome, direction: Direction) -> list[Scene]:
    return [s for s in outcome.world.scenes.values() if s.script.direction is direction]


def _share(what: str, part: int, whole: int, wanted: float) -> Iterator[Finding]:
    if not 0.8 * wanted < part / max(1, whole) < 1.2 * wanted:
        yield Finding(f"{part} of {whole} {what} met trouble, {wanted:.0%} should have")
