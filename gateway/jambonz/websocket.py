"""Jambonz's WebSocket API: a call's hooks as messages, and their acknowledgements. Pure.

As of jambonz-feature-server 0.9.8 (`lib/utils/ws-requestor.js`) Jambonz opens a socket for each
call, expects the answer to a message within 5 s, and opens another if the socket is lost.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from gateway.jambonz import verbs
from gateway.jambonz.urls import CALL_HOOK, CALL_STATUS_HOOK, REFER_HOOK
from gateway.jambonz.verbs import Verbs

SUBPROTOCOL = "ws.jambonz.org"
#: Jambonz reports here what it could not do, such as to speak without a credential.
ERROR = "jambonz:error"

#: The hook that a message of this type stands for. `session:reconnect` repeats `session:new`.
_PATHS = {
    "session:new": CALL_HOOK,
    "session:reconnect": CALL_HOOK,
    "call:status": CALL_STATUS_HOOK,
}
#: Messages that name their hook in `hook`.
_WITH_HOOK = frozenset({"session:redirect", "verb:hook", "dial:confirm"})
#: Messages that Jambonz awaits no answer to.
_WITHOUT_ACK = frozenset(
    {
        "call:status",
        "verb:status",
        ERROR,
        "llm:event",
        "llm:tool-call",
        "tts:streaming-event",
        "tts:tokens-result",
    }
)


@dataclass(frozen=True, slots=True)
class Message:
    """A message of Jambonz. `hook` is a path or a URL, "" in messages of most types.

    `b3` is the context of Jambonz's own trace, "" if it makes none.
    """

    type: str
    msgid: str
    hook: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    b3: str = ""

    @property
    def wants_ack(self) -> bool:
        return self.type not in _WITHOUT_ACK

    @property
    def path(self) -> str:
        """The path of the hook that the message is; "" if it is none."""
        if self.type in _WITH_HOOK:
            return urlsplit(self.hook).path
        return _PATHS.get(self.type, "")

    @property
    def body(self) -> Mapping[str, Any]:
        """The body of that hook. A repeated call hook does not bring an answered caller back."""
        if self.type == "session:reconnect":
            return {name: value for name, value in self.data.items() if name != "call_status"}
        return self.data

    @property
    def query(self) -> Mapping[str, str]:
        return dict(parse_qsl(urlsplit(self.hook).query)) if self.type in _WITH_HOOK else {}


def ack(message: Message, answer: Verbs) -> Mapping[str, object]:
    """The acknowledgement of `message`, with the verbs that answer it."""
    return {"type": "ack", "msgid": message.msgid, "data": answer}


def answer_to_refused(message: Message) -> Verbs | None:
    """What answers a message that the gateway refused; None for no acknowledgement.

    A new call is declined, and after a verb the remaining ones run, as with a hook that was
    answered with an error. Only a REFER would be accepted by any acknowledgement: without one
    Jambonz refuses it after 5 s.
    """
    if message.type == "verb:hook":
        return None if message.path == REFER_HOOK else []
    if message.data.get("call_status") == "in-progress":
        return verbs.hangup()
    return verbs.sip_decline(480, "Temporarily Unavailable")
