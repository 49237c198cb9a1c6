"""A Jambonz account's applications with their hooks, and its carriers. Does no I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any
from urllib.parse import urlsplit

from gateway.errors import ConfigError
from gateway.jambonz.urls import CALL_HOOK, CALL_STATUS_HOOK, RETRY

#: The hooks that setup sets, by their names in the API, and their paths at the gateway.
HOOKS = {
    "call_hook": CALL_HOOK + RETRY,
    "call_status_hook": CALL_STATUS_HOOK,
}
_SOCKET_PATHS = (CALL_HOOK, CALL_STATUS_HOOK)


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook; `username` and `password` are for basic authentication, "" for none."""

    url: str
    method: str = "POST"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Application:
    """`hooks` by their names in the API (`call_hook`, …), without those that are not set.

    `speech_vendor` speaks its `say` verbs.
    """

    sid: str
    name: str
    hooks: Mapping[str, Hook]
    speech_vendor: str = ""


@dataclass(frozen=True, slots=True)
class Carrier:
    """Jambonz accepts its calls from `networks`, and gives them to `application_sid`.

    Without an application, "", it looks for that of the called number.
    """

    sid: str
    name: str
    application_sid: str
    networks: tuple[IPv4Network, ...] = ()

    def accepts(self, address: IPv4Address) -> bool:
        return any(address in network for network in self.networks)


def desired_hooks(public_url: str) -> Mapping[str, str]:
    """The URLs of the hooks, by their names in the API, for the gateway at `public_url`."""
    return {name: public_url.rstrip("/") + path for name, path in HOOKS.items()}


def carrier_step(sip_host: str) -> str:
    """What to do so that Jambonz takes LiveKit's calls, for inbound.strategy participant.

    LiveKit dials the call's id. That is no number whose application Jambonz could look up.
    """
    return (
        f"Jambonz portal, Carriers: list the addresses that LiveKit calls from ({sip_host}) as "
        "inbound SIP gateways of a carrier, and assign the gateway's application to that carrier"
    )


def carrier_problem(
    carriers: Sequence[Carrier], application: Application, addresses: Sequence[IPv4Address]
) -> str:
    """Why Jambonz does not take LiveKit's calls from all `addresses`; "" if it does."""
    for address in addresses:
        accepting = [carrier for carrier in carriers if carrier.accepts(address)]
        if not accepting:
            return f"no carrier of the account lists LiveKit's {address} as an inbound SIP gateway"
        if not any(carrier.application_sid == application.sid for carrier in accepting):
            names = ", ".join(repr(carrier.name) for carrier in accepting)
            return (
                f"the carrier of LiveKit's {address}, {names}, does not have the application "
                f"{application.name!r}"
            )
    return ""


def select_application(applications: Sequence[Application], configured: str) -> Application:
    """The application with the `configured` name or sid; if that is "", the account's only one.

    Raises ConfigError.
    """
    matching = [app for app in applications if not configured or configured in {app.sid, app.name}]
    if len(matching) == 1:
        return matching[0]
    if not applications:
        raise ConfigError(["the Jambonz account has no application: create one in the portal"])
    names = ", ".join(f"{app.name!r} ({app.sid})" for app in applications)
    if configured and not matching:
        raise ConfigError([f"jambonz.application: there is no {configured!r}; there are {names}"])
    raise ConfigError([f"jambonz.application must be the name or sid of one of {names}"])


@dataclass(frozen=True, slots=True)
class HooksPlan:
    """The application as it is, and the `desired` URLs of its hooks."""

    application: Application
    desired: Mapping[str, str]

    @property
    def changes(self) -> Mapping[str, Hook]:
        """The hooks that differ, as they should be, with their credentials unchanged.

        Hooks over the gateway's WebSocket stay as they are.
        """
        changes = {}
        sockets = socket_hooks(self.application, self.desired)
        for name, url in self.desired.items():
            current = self.application.hooks.get(name, Hook(""))
            desired = Hook(url, "POST", current.username, current.password)
            if current != desired and name not in sockets:
                changes[name] = desired
        return changes


def socket_hooks(application: Application, desired: Mapping[str, str]) -> Sequence[str]:
    """The hooks that come over the gateway's WebSocket: the call hook and, maybe, others.

    Jambonz opens the socket for the call hook; only then it may be used for others.
    """
    hooks = application.hooks
    names = [name for name, url in desired.items() if _is_socket(hooks.get(name), url)]
    return names if "call_hook" in names else []


def _is_socket(hook: Hook | None, desired: str) -> bool:
    """Whether `hook` is a WebSocket at the host and path of `desired`, or of the call hook."""
    if hook is None:
        return False
    parts, wanted = urlsplit(hook.url), urlsplit(desired)
    is_place = parts.netloc == wanted.netloc and wanted.path.startswith(parts.path)
    return parts.scheme in {"ws", "wss"} and is_place and parts.path.endswith(_SOCKET_PATHS)


def read_application(content: Mapping[str, Any]) -> Application:
    """An application as the API lists it. Raises KeyError, TypeError, AttributeError."""
    hooks = {name: _hook(content[name]) for name in HOOKS if content.get(name)}
    vendor = str(content.get("speech_synthesis_vendor") or "")
    return Application(content["application_sid"], content["name"], hooks, vendor)


def read_carrier(content: Mapping[str, Any]) -> Carrier:
    """A carrier as the API lists it, without its gateways. Raises as `read_application`."""
    application_sid = str(content.get("application_sid") or "")
    return Carrier(content["voip_carrier_sid"], content["name"], application_sid)


def read_gateway(content: Mapping[str, Any]) -> IPv4Network | None:
    """The network of a carrier's SIP gateway; None if it is for outbound calls or has a name."""
    try:
        network = IPv4Network(f"{content['ipv4']}/{content.get('netmask') or 32}", strict=False)
    except ValueError:
        return None
    return network if content.get("inbound") else None


def read_speech_vendor(content: Mapping[str, Any]) -> str:
    """The vendor of a speech credential; "" if it is not for synthesis."""
    return str(content["vendor"]) if content.get("use_for_tts") else ""


def _hook(content: Mapping[str, Any]) -> Hook:
    return Hook(
        url=content["url"],
        method=content.get("method") or "POST",
        username=content.get("username") or "",
        password=content.get("password") or "",
    )


def hook_body(hook: Hook) -> Mapping[str, str]:
    credentials = {"username": hook.username, "password": hook.password} if hook.username else {}
    return {"url": hook.url, "method": hook.method, **credentials}
