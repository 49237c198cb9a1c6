"""Every setting: its type, its default and its bounds. Pure; loader.py reads the values."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from marshmallow import validate

from common.addresses import Network
from common.allowed_hosts import AllowedHost
from gateway.calls.callers import parse_caller
from gateway.calls.destinations import Credentials, DialOptions, FallbackTarget
from gateway.config import addresses
from gateway.config.checks import check_date, check_ringing_tone, check_trusted_headers
from gateway.jambonz.tones import ringing_tone
from gateway.security.api_keys import ApiKey, HashedKey

LOOPBACK = "127.0.0.1"

#: Jambonz and LiveKit get this much more than max_call_duration, in s. The gateway ends a call
#: first, as `max_duration_reached`; they end it as a hang-up, and only if the gateway is down.
DURATION_MARGIN = 5


def setting(
    default: Any,
    check: Callable[[Any], Any] | None = None,
    *,
    env: str = "",
    secret: bool = False,
    sensitive: bool = False,
    read: Callable[[str], str] | None = None,
) -> Any:
    """A dataclass field with a default and a marshmallow validator `check`.

    `read` makes one form of the texts that people give, or raises ValueError (addresses.py).
    `env` is the setting's own environment variable; a `secret` may be set only there. A `sensitive`
    setting may contain a secret: neither is in a repr.
    """
    metadata = {"check": check, "env": env, "secret": secret, "read": read}
    return field(default=default, repr=not (secret or sensitive), metadata=metadata)


#: livekit-server ends a dial that is not answered after so long, in s (pkg/service/sip.go).
MAX_DIAL_RINGING = 80


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A LiveKit API key with its secret."""

    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    # Narrowed to loopback without credentials, see Config.listen_host.
    host: str = setting("0.0.0.0", read=addresses.read_listen_host)  # noqa: S104
    port: int = setting(8000, validate.Range(0, 65535), env="PORT")
    public_url: str = setting("", env="GATEWAY_PUBLIC_URL", read=addresses.read_public_url)
    drain_delay: float = setting(0.0, validate.Range(0, 300))
    finish_timeout: float = setting(25.0, validate.Range(0, 300))


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    level: str = setting("info", validate.OneOf(["debug", "info", "warning", "error"]))
    format: str = setting("auto", validate.OneOf(["auto", "json", "console"]))
    redact: bool = setting(default=True)


@dataclass(frozen=True, slots=True)
class LimitSettings:
    max_active_calls: int = setting(10_000, validate.Range(1, 1_000_000))
    max_requests: int = setting(256, validate.Range(1, 100_000))
    dispatch_rate: float = setting(10.0, validate.Range(0.01, 10_000))
    dispatch_burst: int = setting(50, validate.Range(1, 100_000))
    max_connections: int = setting(2000, validate.Range(1, 100_000))
    max_sockets: int = setting(1000, validate.Range(1, 100_000))
    max_header_bytes: int = setting(16_384, validate.Range(1024, 1_048_576))
    max_body_bytes: int = setting(1_048_576, validate.Range(1024, 67_108_864))
    read_timeout: float = setting(10.0, validate.Range(0.1, 300))
    keepalive_timeout: float = setting(75.0, validate.Range(0.1, 3600))


@dataclass(frozen=True, slots=True)
class SecuritySettings:
    webhook_secrets: tuple[str, ...] = setting((), env="JAMBONZ_WEBHOOK_SECRET", secret=True)
    webhook_auth: tuple[Credentials, ...] = setting((), env="JAMBONZ_WEBHOOK_AUTH", secret=True)
    api_keys: tuple[ApiKey, ...] = setting((), env="GATEWAY_API_KEYS", secret=True)
    hashed_keys: tuple[HashedKey, ...] = setting(())
    signature_tolerance: float = setting(300.0, validate.Range(1, 3600))
    allow_unauthenticated: bool = setting(default=False)
    jambonz_addresses: tuple[Network, ...] = setting(())
    api_addresses: tuple[Network, ...] = setting(())
    livekit_addresses: tuple[Network, ...] = setting(())
    metrics_addresses: tuple[Network, ...] = setting(())
    trusted_proxies: tuple[Network, ...] = setting(())

    @property
    def keys(self) -> tuple[ApiKey, ...]:
        """All API keys, from the environment and from the file."""
        return (*self.api_keys, *self.hashed_keys)

    @property
    def has_webhook_auth(self) -> bool:
        return bool(self.webhook_secrets or self.webhook_auth)


@dataclass(frozen=True, slots=True)
class LiveKitSettings:
    url: str = setting("", env="LIVEKIT_URL", read=addresses.read_livekit_url)
    api_key: str = setting("", env="LIVEKIT_API_KEY", secret=True)
    api_secret: str = setting("", env="LIVEKIT_API_SECRET", secret=True)
    previous_keys: tuple[KeyPair, ...] = setting((), env="LIVEKIT_PREVIOUS_KEYS", secret=True)
    sip_host: str = setting("", env="LIVEKIT_SIP_HOST", read=addresses.read_sip_host)
    sip_transport: str = setting("tcp", validate.OneOf(["udp", "tcp", "tls"]))
    sip_media_encryption: str = setting("none", validate.OneOf(["none", "sdes"]))
    timeout: float = setting(2.0, validate.Range(0.1, 8))
    connections: int = setting(100, validate.Range(1, 10_000))

    @property
    def accepted_keys(self) -> tuple[KeyPair, ...]:
        """Webhooks and reports may be signed with these: the key in use and those it replaced."""
        return (KeyPair(self.api_key, self.api_secret), *self.previous_keys)

    @property
    def is_cloud(self) -> bool:
        return (urlsplit(self.url).hostname or "").endswith(".livekit.cloud")

    @property
    def sip_address(self) -> str:
        """The host that INVITEs are sent to; a self-hosted server's SIP service has its host."""
        host = urlsplit(self.url).hostname or ""
        return self.sip_host or (f"[{host}]" if ":" in host else host)


@dataclass(frozen=True, slots=True)
class AgentSettings:
    # The worker reads both, too, from the same file and variables (agent/settings.py).
    name: str = setting("nehos-outbound-agent", validate.Length(1, 100), env="LIVEKIT_AGENT_NAME")
    pipeline: str = setting("diagnostic", validate.OneOf(["diagnostic", "voice"]))


@dataclass(frozen=True, slots=True)
class JambonzSettings:
    rest_url: str = setting("", env="JAMBONZ_REST_API_BASE_URL", read=addresses.read_web_url)
    account_sid: str = setting("", env="JAMBONZ_ACCOUNT_SID")
    api_key: str = setting("", env="JAMBONZ_API_KEY", secret=True)
    application: str = setting("")


@dataclass(frozen=True, slots=True)
class TrunkSettings:
    inbound_addresses: tuple[str, ...] = setting(())
    inbound_username: str = setting("", env="SIP_INBOUND_USERNAME")
    inbound_password: str = setting("", env="SIP_INBOUND_PASSWORD", secret=True)
    outbound_address: str = setting("", read=addresses.read_sip_host)
    outbound_transport: str = setting("auto", validate.OneOf(["auto", "udp", "tcp", "tls"]))
    outbound_numbers: tuple[str, ...] = setting(())
    outbound_username: str = setting("", env="SIP_OUTBOUND_USERNAME")
    outbound_password: str = setting("", env="SIP_OUTBOUND_PASSWORD", secret=True)

    @property
    def inbound_credentials(self) -> Credentials | None:
        if not self.inbound_username:
            return None
        return Credentials(self.inbound_username, self.inbound_password)


@dataclass(frozen=True, slots=True)
class InboundSettings:
    strategy: str = setting("room", validate.OneOf(["room", "participant"]))
    agent_timeout: float = setting(10.0, validate.Range(0.1, 120))
    ringing_timeout: int = setting(30, validate.Range(1, 600))
    max_call_duration: int = setting(3600, validate.Range(10, 86_400))
    registered_timeout: float = setting(60.0, validate.Range(1, 3600))
    trusted_headers: tuple[str, ...] = setting((), check_trusted_headers)
    fallback: tuple[FallbackTarget, ...] = setting(())
    ringing_tone: str = setting("au", check_ringing_tone)
    wait_music: str = setting("tone_stream://%(1000,2000,425)", validate.Length(1, 2000))

    @property
    def dial_options(self) -> DialOptions:
        return DialOptions(
            self.ringing_timeout,
            self.max_call_duration + DURATION_MARGIN,
            ringing_tone(self.ringing_tone),
        )


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    trunk_id: str = setting("", env="SIP_OUTBOUND_TRUNK_ID")
    dialed_by: str = setting("gateway", validate.OneOf(["gateway", "agent"]))
    agent_timeout: float = setting(10.0, validate.Range(0.1, 60))
    early_failure_window: float = setting(2.0, validate.Range(0, 30))
    default_caller: str = setting("", read=parse_caller)
    allowed: tuple[str, ...] = setting(())
    denied: tuple[str, ...] = setting(())
    ringing_timeout: int = setting(30, validate.Range(1, MAX_DIAL_RINGING))
    max_call_duration: int = setting(3600, validate.Range(10, 86_400))
    max_active_calls: int = setting(100, validate.Range(1, 100_000))
    idempotency_ttl: float = setting(86_400.0, validate.Range(1, 604_800))


@dataclass(frozen=True, slots=True)
class TransferSettings:
    trunk: str = setting("")
    allowed: tuple[str, ...] = setting(())
    ringing_timeout: int = setting(30, validate.Range(1, 120))
    prompt: str = setting("Press 1 to take the call.", validate.Length(1, 2000))


@dataclass(frozen=True, slots=True)
class LegacySettings:
    sip_host: str = setting("", read=addresses.read_sip_host)
    sunset: str = setting("2027-06-30", check_date)


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    urls: tuple[str, ...] = setting(())
    allowed_hosts: tuple[AllowedHost, ...] = setting(())
    secrets: tuple[str, ...] = setting((), env="CALLBACK_SECRET", secret=True)
    header: str = setting("", env="CALLBACK_HEADER", secret=True)
    timeout: float = setting(10.0, validate.Range(0.1, 60))
    give_up_after: float = setting(3600.0, validate.Range(1, 604_800))
    report_timeout: float = setting(10.0, validate.Range(0, 300))
    flush_timeout: float = setting(3.0, validate.Range(0, 300))
    max_pending: int = setting(10_000, validate.Range(1, 1_000_000))


@dataclass(frozen=True, slots=True)
class StorageSettings:
    url: str = setting("", env="REDIS_URL", sensitive=True)
    prefix: str = setting("gateway", validate.Regexp(r"[A-Za-z0-9_.:-]{1,64}\Z"))
    timeout: float = setting(1.0, validate.Range(0.6, 8))
    ended_ttl: float = setting(3600.0, validate.Range(0, 604_800))
    ended_max: int = setting(10_000, validate.Range(0, 1_000_000))


@dataclass(frozen=True, slots=True)
class HistorySettings:
    url: str = setting(
        "sqlite:///data/history.db",
        env="HISTORY_URL",
        sensitive=True,
        read=addresses.read_history_url,
    )
    timeout: float = setting(2.0, validate.Range(0.1, 30))
    retention: float = setting(2_592_000.0, validate.Range(3600, 315_360_000))


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    interval: float = setting(1.0, validate.Range(0.05, 60))
    reconcile_interval: float = setting(15.0, validate.Range(0.1, 600))


@dataclass(frozen=True, slots=True)
class WebSettings:
    session_lifetime: float = setting(43_200.0, validate.Range(60, 2_592_000))
    recordings: str = setting("")
    calls: bool = setting(default=False)
    livekit_url: str = setting("", read=addresses.read_livekit_url)


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, in the sections of config.yaml."""

    server: ServerSettings = field(default_factory=ServerSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    livekit: LiveKitSettings = field(default_factory=LiveKitSettings)
    agent: AgentSettings = field(default_factory=AgentSettings)
    jambonz: JambonzSettings = field(default_factory=JambonzSettings)
    trunks: TrunkSettings = field(default_factory=TrunkSettings)
    inbound: InboundSettings = field(default_factory=InboundSettings)
    outbound: OutboundSettings = field(default_factory=OutboundSettings)
    transfer: TransferSettings = field(default_factory=TransferSettings)
    legacy: LegacySettings = field(default_factory=LegacySettings)
    callbacks: CallbackSettings = field(default_factory=CallbackSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    monitor: MonitorSettings = field(default_factory=MonitorSettings)
    web: WebSettings = field(default_factory=WebSettings)

    @property
    def livekit_dial(self) -> DialOptions:
        """How Jambonz dials LiveKit."""
        return replace(self.inbound.dial_options, srtp_encryption=self.livekit.sip_media_encryption)

    @property
    def own_url(self) -> str:
        """The base URL of this gateway for LiveKit and the workers; loopback on one machine."""
        return self.server.public_url.rstrip("/") or f"http://{LOOPBACK}:{self.server.port}"

    @property
    def browser_livekit_url(self) -> str:
        """Where browsers reach LiveKit."""
        return self.web.livekit_url or self.livekit.url

    @property
    def unauthenticated_endpoints(self) -> tuple[str, ...]:
        """The environment variables without which some endpoints have no authentication."""
        missing = []
        if not self.security.has_webhook_auth:
            missing.append("JAMBONZ_WEBHOOK_SECRET")
        if not self.security.keys:
            missing.append("GATEWAY_API_KEYS")
        return tuple(missing)

    @property
    def is_loopback_only(self) -> bool:
        """Unless all endpoints are authenticated, or security.allow_unauthenticated is set."""
        return bool(self.unauthenticated_endpoints) and not self.security.allow_unauthenticated

    @property
    def listen_host(self) -> str:
        return LOOPBACK if self.is_loopback_only else self.server.host
