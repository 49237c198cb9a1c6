"""What a dispatch is refused for before anything happens. No I/O."""

from collections.abc import Mapping

from gateway.calls.destinations import Destination, parse_destination
from gateway.config.settings import Config, OutboundSettings, TransferSettings
from gateway.errors import ApiError, ErrorCode
from gateway.livekit.metadata import MAX_METADATA
from gateway.security.destinations import DestinationDenied, check_not_denied, is_allowed


def check_targets(
    destination: Destination, metadata: Mapping[str, object], config: Config, *, from_number: str
) -> None:
    """Raise ApiError unless `destination` and the metadata's `transfer_target` may be called.

    `from_number` is the caller, "" for a number of the trunk.
    """
    _check_destination(destination, config.outbound, from_number=from_number)
    _check_transfer_target(metadata, config.transfer, config.outbound)


def _check_destination(
    destination: Destination, outbound: OutboundSettings, *, from_number: str
) -> None:
    """Raise ApiError unless `destination` may be called, and has a caller to be called by."""
    try:
        if outbound.allowed and not is_allowed(destination, outbound.allowed):
            shown = destination.number_or_uri
            raise _not_allowed("destination", f"no pattern of outbound.allowed matches {shown}")
        check_not_denied(
            destination,
            allowed=outbound.allowed,
            denied=outbound.denied,
            setting="outbound.allowed",
        )
    except DestinationDenied as error:
        raise _not_allowed("destination", str(error)) from error
    if destination.host and not from_number and outbound.dialed_by == "gateway":
        text = "Needed for a SIP URI: no trunk has a number for it. Or set outbound.default_caller."
        raise _invalid({"caller_number": [text]})


def _check_transfer_target(
    metadata: Mapping[str, object], transfer: TransferSettings, outbound: OutboundSettings
) -> None:
    """Raise ApiError if the call could not be transferred to its own transfer_target."""
    target = metadata.get("transfer_target")
    if not target:
        return
    try:
        check_not_denied(
            parse_destination(str(target)),
            allowed=transfer.allowed,
            denied=outbound.denied,
            setting="transfer.allowed",
        )
    except DestinationDenied as error:
        raise _not_allowed("transfer_target", str(error)) from error


def check_metadata_size(*metadata: str, fields: Mapping[str, object]) -> None:
    """Raise ApiError if LiveKit does not take the job's and the room's `metadata`.

    `fields` are those of the request that it is made of.
    """
    size = max(len(text.encode()) for text in metadata)
    if size <= MAX_METADATA:
        return
    text = f"LiveKit takes {MAX_METADATA} bytes, with what the gateway adds these are {size}."
    raise _invalid({name: [text] for name, value in fields.items() if value})


def _not_allowed(field: str, text: str) -> ApiError:
    return ApiError(ErrorCode.DESTINATION_NOT_ALLOWED, text, {field: [text]})


def _invalid(details: Mapping[str, list[str]]) -> ApiError:
    return ApiError(ErrorCode.INVALID, f"cannot use: {', '.join(details)}", details)
