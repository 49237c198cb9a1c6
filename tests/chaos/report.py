"""What a reader needs in order to find out why a check failed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tests.chaos.checks import Finding
from tests.chaos.outcome import Outcome

#: How many findings of a check are reported, and how many of its calls in full.
MAX_FINDINGS = 8
MAX_CALLS = 4


def failure_report(findings: dict[str, list[Finding]], outcome: Outcome) -> str:
    """The findings of each check, then what happened in some of the calls."""
    settings = outcome.simulation.settings
    lines = [f"CHAOS_SEED={settings.seed}, {settings.calls} calls"]
    call_ids: dict[str, None] = {}
    for check, of_check in findings.items():
        lines.append(f"\n{check.replace('_', ' ')}: {len(of_check)} findings")
        lines += [f"  {finding.call_id} {finding.what}" for finding in of_check[:MAX_FINDINGS]]
        ids = [finding.call_id for finding in of_check if finding.call_id]
        call_ids |= dict.fromkeys(ids[:MAX_CALLS])
    return "\n".join([*lines, *(_history(call_id, outcome) for call_id in call_ids)])


def _history(call_id: str, outcome: Outcome) -> str:
    call, simulated = outcome.calls.get(call_id, {}), outcome.simulated(call_id)
    timeline = call.get("timeline", [])
    begin = timeline[0]["at"] if timeline else 0
    received = {
        path: [callback.event_id for callback in callbacks]
        for (path, about), callbacks in outcome.simulation.receiver.callbacks.items()
        if about == call_id
    }
    lines = [
        f"\n{call_id}: {call.get('call_status')}, {call.get('disconnection_reason')}",
        f"  callbacks {received}",
        *(_entry(entry, begin) for entry in timeline),
    ]
    if simulated:
        responses = [*map(str, simulated.dispatch_responses)]
        lines[1:1] = [
            f"  {simulated.scenario}",
            f"  rooms {sorted(simulated.rooms)}, responses to n8n {responses}",
        ]
    return "\n".join(lines)


def _entry(entry: dict[str, object], begin: int) -> str:
    return f"  {int(str(entry['at'])) - begin:6} ms {entry['event']} {entry['detail']}"


def summary(outcome: Outcome) -> str:
    """How calls ended and how many faults there were, in a few lines."""
    simulation = outcome.simulation
    reasons: dict[str, int] = defaultdict(int)
    for call in outcome.calls.values():
        reasons[f"{call['direction']} {call['disconnection_reason']}"] += 1
    callers: dict[str, int] = defaultdict(int)
    for simulated in simulation.calls.values():
        callers[simulated.rejection or "connected, or outbound"] += 1
    return "\n".join(
        [
            _counts("calls", reasons),
            _counts("callers", callers),
            _counts("requests", simulation.network.counts),
            _counts("LiveKit", simulation.livekit.counts),
            _counts("disturbances", simulation.disturbances),
            _counts("callbacks", simulation.receiver.counts),
            _counts("Redis", outcome.redis.keys if outcome.redis else {}),
            *(f"{name}: {_megabytes(sizes)} MB" for name, sizes in simulation.memory.items()),
        ]
    )


def _counts(what: str, counts: Mapping[Any, int]) -> str:
    return f"{what}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _megabytes(sizes: Sequence[int]) -> str:
    return " ".join(f"{size / 1e6:.0f}" for size in sizes)
