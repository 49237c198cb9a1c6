"""Calls from the browser: as a call hook would bring them, but the caller joins by WebRTC."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gateway.calls.call import Call, Event, EventKind, TimelineEntry
from gateway.calls.participants import Leg
from gateway.config.settings import Config
from gateway.errors import ApiError, ErrorCode, LimitReached, in_plain_words
from gateway.inbound.deduplication import new_call
from gateway.inbound.room_strategy import RoomStrategy
from gateway.jambonz.hooks import CallHook
from gateway.lifecycle.agent_wait import AgentWait
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.tokens import caller_token, sip_attributes
from gateway.storage.registry import ActiveLimits

#: The caller's identity in the room, and the dispatch rule by which they seem to come.
IDENTITY = "browser"
RULE_ID = "SDR_browser"
#: The Retry-After of a call that was not made, in s.
RETRY_AFTER = 5


@dataclass(frozen=True, slots=True)
class WebCallRequest:
    """Whom the caller calls, and from which number; "" for what a call hook would leave out."""

    to_number: str
    from_number: str = ""
    account_code: str = ""
    agent_name: str = ""
    session_options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WebCall:
    """A call whose room a browser may join: at `server_url`, with `participant_token`."""

    call_id: str
    server_url: str
    participant_token: str = field(repr=False)


class WebCalls:
    """Makes calls from the browser. `clock` in ms since epoch."""

    def __init__(
        self,
        config: Config,
        *,
        lifecycle: Lifecycle,
        rooms: RoomStrategy,
        agent_wait: AgentWait,
        dialer: Dialer,
        new_call_id: Callable[[], str],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._lifecycle = lifecycle
        self._rooms = rooms
        self._agent_wait = agent_wait
        self._dialer = dialer
        self._new_call_id = new_call_id
        self._clock = clock

    async def start(self, request: WebCallRequest, *, by: str) -> WebCall:
        """Have the agent come to a new room, and let the browser of `by` in.

        Raises ApiError, StorageUnavailable.
        """
        if not self._config.web.calls:
            raise ApiError(ErrorCode.WEB_CALLS_OFF, ErrorCode.WEB_CALLS_OFF.description)
        call = await self._register(self._new_call(request, by))
        event = await self._rooms.prepare(call, session_options=request.session_options)
        call = await self._lifecycle.apply(call.call_id, event) or call
        if event.kind is not EventKind.ROOM_CREATED:
            raise _not_made(call, event)
        self._dialer.spawn(self._answer(call), name=f"answer {call.call_id}")
        return WebCall(call.call_id, self._config.browser_livekit_url, self._token(call))

    def _new_call(self, request: WebCallRequest, by: str) -> Call:
        hook = CallHook(
            call_sid="",
            from_number=request.from_number,
            to_number=request.to_number,
            caller_name="",
            env_vars={"ACCOUNT_CODE": request.account_code, "AGENT_NAME": request.agent_name},
        )
        now = self._clock()
        call = new_call(hook, self._config, call_id=self._new_call_id(), now=now)
        registered = TimelineEntry(now, EventKind.REGISTERED, f"from the browser of {by}")
        return replace(call, jambonz={}, caller=Leg(IDENTITY), timeline=(registered,))

    async def _register(self, new: Call) -> Call:
        limits = ActiveLimits(total=self._config.limits.max_active_calls)
        try:
            return (await self._lifecycle.register(new, limits)).call
        except LimitReached as error:
            code = ErrorCode.TOO_MANY_CALLS
            raise ApiError(code, str(error), retry_after=RETRY_AFTER) from error

    def _token(self, call: Call) -> str:
        livekit = self._config.livekit
        number = call.from_number
        attributes = sip_attributes(call.call_id, number, rule_id=RULE_ID, status="ringing")
        return caller_token(
            livekit.api_key,
            livekit.api_secret,
            room=call.call_id,
            identity=IDENTITY,
            attributes=attributes,
        )

    async def _answer(self, call: Call) -> None:
        """The call is answered once both are in the room, as livekit-sip answers an INVITE."""
        limit = self._config.inbound.registered_timeout
        call = await self._agent_wait.until(call, _is_connected, limit=limit)
        if call.is_active and _is_connected(call):
            answered = Event(EventKind.ANSWERED, self._clock(), detail="browser")
            await self._lifecycle.apply(call.call_id, answered)


def _not_made(call: Call, event: Event) -> ApiError:
    message = in_plain_words(event.detail)
    error = ApiError(ErrorCode.LIVEKIT_UNREACHABLE, message, retry_after=RETRY_AFTER)
    error.call_id = call.call_id
    return error


def _is_connected(call: Call) -> bool:
    return call.agent_audible and call.has_seen(EventKind.CALLER_JOINED)
