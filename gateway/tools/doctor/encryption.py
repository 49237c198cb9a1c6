"""Check of the encryption between Jambonz and LiveKit: signalling and audio, dial and trunks."""

from collections.abc import Sequence
from functools import partial

from gateway.config.settings import Config
from gateway.livekit.trunks import Kind, SipItem, Trunks
from gateway.tools.doctor.check import Check, Finding, combined, fail, ok, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.routes import outbound_item
from gateway.tools.setup.items import label

_APPLY = "python -m gateway setup --apply"
_ENCRYPT = (
    "set livekit.sip_media_encryption: sdes in config.yaml, restart the gateway, then "
    f"{_APPLY}; Jambonz needs feature-server and sbc-outbound 0.9.8 for it"
)


def checks(context: Context) -> list[Check]:
    return [Check("encryption", "encryption", partial(_encryption, context), ("livekit_sip",))]


async def _encryption(context: Context) -> Finding:
    return encryption(context.config, await Trunks(context.livekit).listed())


def encryption(config: Config, items: Sequence[SipItem]) -> Finding:
    """Names each half-secured part of the path; `items` are LiveKit's trunks and rules."""
    findings = []
    if config.inbound.strategy == "room":
        findings += _dial(config)
        managed = [item for item in items if item.kind is Kind.INBOUND_TRUNK and item.is_ours]
        findings += [finding for item in managed for finding in _inbound(config, item)]
    outbound = outbound_item(
        items,
        configured=config.outbound.trunk_id,
        prefer_own=config.inbound.strategy == "participant",
    )
    findings += _outbound(config, outbound) if outbound else []
    if findings:
        return combined(findings)
    if _is_wanted(config):
        return ok("between Jambonz and LiveKit: signalling by TLS, audio by SRTP")
    return ok("off between Jambonz and LiveKit; docs/security.md says how to switch it on")


def _is_wanted(config: Config) -> bool:
    return config.livekit.sip_media_encryption != "none"


def _dial(config: Config) -> list[Finding]:
    if config.livekit.sip_transport != "tls" or _is_wanted(config):
        return []
    message = "half: Jambonz signals to LiveKit by TLS, but sends the audio unencrypted"
    return [warn(message, _ENCRYPT)]


def _inbound(config: Config, trunk: SipItem) -> list[Finding]:
    encrypted = _media_encryption(trunk)
    name = label(trunk)
    if _is_wanted(config) and not encrypted:
        message = f"{name} does not take the encrypted audio that Jambonz offers: calls fail"
        return [fail(message, _APPLY)]
    if _is_wanted(config) and encrypted != "REQUIRE":
        return [warn(f"half: {name} takes unencrypted audio as well", _APPLY)]
    if not _is_wanted(config) and encrypted == "REQUIRE":
        message = f"{name} requires encrypted audio, and Jambonz is not told to: calls fail"
        return [fail(message, f"{_ENCRYPT}; or, without encryption, {_APPLY}")]
    return []


def _outbound(config: Config, trunk: SipItem) -> list[Finding]:
    encrypted = _media_encryption(trunk)
    by_tls = str(trunk.fields.get("transport", "")).endswith("_TLS")
    name = label(trunk)
    if encrypted and not by_tls:
        message = f"half: {name} encrypts the audio, but sends the keys without TLS"
        return [warn(message, f"set trunks.outbound_transport: tls in config.yaml, then {_APPLY}")]
    if _is_wanted(config) and not encrypted:
        step = f"{_APPLY}, or set the trunk's media.encryption at LiveKit if it is not setup's"
        return [warn(f"half: {name} sends and takes the audio unencrypted", step)]
    return []


def _media_encryption(trunk: SipItem) -> str:
    """ALLOW or REQUIRE; "" for none."""
    encryption = str(trunk.fields.get("media", {}).get("encryption", ""))
    return encryption.rpartition("_")[2].replace("DISABLE", "")
