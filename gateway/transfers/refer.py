"""Where a REFER is answered: Jambonz posts the agent's REFER to the refer hook (RFC 3515)."""

from gateway.calls.call import Call
from gateway.calls.destinations import Destination
from gateway.errors import ApiError, ErrorCode
from gateway.jambonz.hooks import ReferHook
from gateway.jambonz.verbs import Verbs
from gateway.storage.registry import CallRegistry
from gateway.transfers.service import Transfers, already_transferring


class Refers:
    """Raises ApiError, whose HTTP status Jambonz answers the REFER with."""

    def __init__(self, registry: CallRegistry, transfers: Transfers) -> None:
        self._registry = registry
        self._transfers = transfers

    async def on_refer(self, hook: ReferHook) -> Verbs:
        """The verbs that transfer the caller to the REFER's target."""
        call = await self._registry.find_by_call_sid(hook.a_leg_sid)
        if call is None or not call.is_active:
            raise _not_found()
        destination = self._destination(call, hook)
        if not _is_repeated(call, hook, destination):
            call = await self._transfers.start(
                call, destination, refer_sid=hook.call_sid, detail="REFER"
            )
            if not _is_repeated(call, hook, destination):
                raise _not_found()  # it has ended meanwhile
        return self._transfers.dial(call)

    def _destination(self, call: Call, hook: ReferHook) -> Destination:
        try:
            return self._transfers.allowed_destination(call, hook.target)
        except ApiError as error:
            if error.code is not ErrorCode.INVALID:
                raise
            # Its status 422 means something else in SIP (RFC 4028 §6).
            raise ApiError(ErrorCode.BAD_REFER_TO, error.message, error.details) from error


def _is_repeated(call: Call, hook: ReferHook, destination: Destination) -> bool:
    """Whether Jambonz repeats a hook whose response was lost. Raises ApiError for another REFER."""
    transfer = call.transfer
    if transfer is None or not call.is_transferring:
        return False
    if (transfer.refer_sid, transfer.target) != (hook.call_sid, destination.number_or_uri):
        raise already_transferring()
    return True


def _not_found() -> ApiError:
    return ApiError(ErrorCode.NOT_FOUND, "there is no such active call")
