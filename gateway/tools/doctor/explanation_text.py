"""An explanation of a call as text for a terminal."""

from gateway.explanation.explain import Explanation
from gateway.tools.terminal import wrapped

_LABEL = 8
_TIME = 8


def explanation_text(explanation: Explanation) -> str:
    lines = _labelled(explanation.status, f"{explanation.call_id}: {explanation.headline}")
    for step in explanation.timeline:
        lines += wrapped(step.text, label=f"{step.after:{_TIME}.1f} s  ")
    if explanation.said:
        lines += _labelled("said", "around what was wrong with the conversation:")
    for step in explanation.said:
        lines += wrapped(step.text, label=f"{step.after:{_TIME}.1f} s  ")
    lines += _labelled("cause", explanation.cause)
    lines += _labelled("next", explanation.next)
    return "\n".join(lines)


def _labelled(label: str, text: str) -> list[str]:
    return wrapped(text, label=f"{label:<{_LABEL}}")
