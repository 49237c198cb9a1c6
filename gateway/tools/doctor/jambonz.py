"""Checks of Jambonz by its REST API: the application's hooks, and the account's webhook secret,
carrier for LiveKit and credential for speech, where they are needed.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Address
from typing import TypeAlias
from urllib.parse import urlsplit

from gateway.calls.destinations import Credentials
from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.explanation.status import Status
from gateway.jambonz import basic_auth
from gateway.jambonz.websocket import SUBPROTOCOL
from gateway.tools.doctor.check import (
    Check,
    Finding,
    combined,
    fail,
    ok,
    skip,
    warn,
)
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.sip import addresses_of, host_and_port
from gateway.tools.doctor.web import RequestFailed
from gateway.tools.setup.jambonz import (
    Application,
    Hook,
    carrier_problem,
    carrier_step,
    desired_hooks,
    select_application,
    socket_hooks,
)
from gateway.tools.setup.jambonz_rest import (
    JambonzAccount,
    JambonzRefused,
    JambonzUnreachable,
    access_problems,
)

_APPLY = "python -m gateway setup --jambonz --apply"
_LEGACY_ROUTE = "/livekit-simple"
#: How long a check may take, in s: it sends two requests, or one more for each carrier.
TIMEOUT = 25

Run: TypeAlias = Callable[[Context], Awaitable[Finding]]


def checks(context: Context) -> list[Check]:
    settings = context.config.jambonz
    if not (settings.rest_url or settings.account_sid or settings.api_key):
        return [Check("jambonz", "Jambonz", partial(_not_configured, context))]
    account = Check("jambonz", "Jambonz", partial(_application, context), timeout=TIMEOUT)
    details: dict[str, tuple[str, Run]] = {
        "jambonz_hooks": ("Jambonz hooks", _hooks),
        "jambonz_secret": ("Jambonz secret", _secret),
    }
    if context.config.inbound.strategy == "participant":
        details["jambonz_carrier"] = ("Jambonz carrier", _carrier)
    if any(target.say for target in context.config.inbound.fallback):
        details["jambonz_speech"] = ("Jambonz speech", _speech)
    return [
        account,
        *(
            Check(check_id, title, partial(run, context), (account.id,), TIMEOUT)
            for check_id, (title, run) in details.items()
        ),
    ]


async def _not_configured(context: Context) -> Finding:
    steps = [
        "to check its hooks and secret, set JAMBONZ_REST_API_BASE_URL, JAMBONZ_ACCOUNT_SID and "
        "JAMBONZ_API_KEY in .env.local"
    ]
    if context.config.inbound.strategy == "participant":
        steps.append(carrier_step(context.config.livekit.sip_address))
    return skip("not checked: its REST API is not configured", "\n".join(steps))


async def _application(context: Context) -> Finding:
    settings = context.config.jambonz
    if problems := access_problems(settings):
        return fail("\n".join(problems), "set all three variables, or none")
    try:
        application = await _application_of(context.config)
    except ConfigError as error:
        return fail(str(error), "set jambonz.application in config.yaml: its name or sid")
    except (JambonzRefused, JambonzUnreachable) as error:
        return fail(str(error), "correct this, then run doctor again")
    return ok(f"the account exists, its application is {application.name!r}")


async def _application_of(config: Config) -> Application:
    async with JambonzAccount.connected(config.jambonz) as account:
        return select_application(await account.applications(), config.jambonz.application)


async def _hooks(context: Context) -> Finding:
    public_url = context.config.server.public_url
    application = await _application_of(context.config)
    if not public_url:
        step = f"set GATEWAY_PUBLIC_URL, then {_APPLY}"
        return fail("cannot be checked: GATEWAY_PUBLIC_URL, where they must lead, is not set", step)
    desired = desired_hooks(public_url)
    if socket_hooks(application, desired):
        return combined([hooks(application, desired), await _socket(context, application)])
    return hooks(application, desired)


async def _socket(context: Context, application: Application) -> Finding:
    """Open the WebSocket of the call hook, as Jambonz does."""
    hook = application.hooks["call_hook"]
    url = hook.url.partition("#")[0]
    credentials = Credentials(hook.username, hook.password)
    authorization = basic_auth.encode(credentials) if hook.username else ""
    try:
        status = await context.http.upgrade(url, SUBPROTOCOL, authorization)
    except RequestFailed as error:
        return fail(str(error), "call_hook must be the gateway's address; check DNS and proxy")
    return socket(status)


def socket(status: int) -> Finding:
    """Judges the HTTP status of opening the WebSocket of the call hook."""
    if status == 101:
        return ok("the WebSocket of call_hook opens, as seen from this machine")
    if status == 401:
        step = (
            "set JAMBONZ_WEBHOOK_AUTH=user:password where the gateway runs, and the same user name "
            "and password at call_hook: Jambonz signs nothing on a WebSocket"
        )
        return fail("the gateway refuses the user name and password of call_hook (401)", step)
    if status == 403:
        return ok("WebSockets are accepted from security.jambonz_addresses only, not from here")
    step = (
        "the proxy must pass the headers Upgrade and Connection on, see deploy/nginx/gateway.conf"
    )
    return fail(f"the WebSocket of call_hook is answered with {status}", step)


def hooks(application: Application, desired: Mapping[str, str]) -> Finding:
    """Compares the application's hooks with the `desired` URLs, both by the API's names."""
    by_http = {
        name: url for name, url in desired.items() if name not in socket_hooks(application, desired)
    }
    findings = [_hook(name, application.hooks.get(name), url) for name, url in by_http.items()]
    problems = [finding for finding in findings if finding.status is not Status.OK]
    if problems:
        return combined(problems)
    ways = [f"{' and '.join(by_http)} by POST"] if by_http else []
    ways += [f"{name} by WebSocket" for name in desired if name not in by_http]
    return ok(f"the hooks of {application.name!r} lead to the gateway: {', '.join(ways)}")


def _hook(name: str, hook: Hook | None, desired: str) -> Finding:
    if hook is None:
        return fail(f"{name} is not set", _APPLY)
    if hook.url.partition("#")[0] != desired.partition("#")[0]:
        legacy = ", the legacy route" if urlsplit(hook.url).path.endswith(_LEGACY_ROUTE) else ""
        return fail(f"{name} leads to {_shown(hook.url)}{legacy}", _APPLY)
    if hook.method != "POST":
        return fail(f"{name} is sent by {hook.method}, which omits the details of the call", _APPLY)
    fragment, wanted = (url.partition("#")[2] for url in (hook.url, desired))
    if wanted and fragment != wanted:
        problem = f"repeats it as #{fragment} says" if fragment else "does not repeat it"
        message = f"{name} leads to the gateway, but when it fails Jambonz {problem}"
        return warn(f"{message}: with #{wanted} it outlasts a restart of the gateway", _APPLY)
    return ok(name)


def _shown(url: str) -> str:
    """`url` without what may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def _secret(context: Context) -> Finding:
    security = context.config.security
    if security.webhook_auth and not security.webhook_secrets:
        return skip("hooks are authenticated by JAMBONZ_WEBHOOK_AUTH, not by the account's secret")
    async with JambonzAccount.connected(context.config.jambonz) as account:
        try:
            account_secret = await account.webhook_secret()
        except JambonzRefused as refusal:
            return skip(f"Jambonz does not return the account's webhook secret: {refusal}")
    return secret(account_secret, security.webhook_secrets)


def secret(account_secret: str, configured: tuple[str, ...]) -> Finding:
    """Compares the account's webhook secret with those that the gateway verifies hooks with."""
    place = "the account's webhook secret (Jambonz portal: Account)"
    if not account_secret:
        return fail("the account has no webhook secret: hooks are not signed", f"create {place}")
    if account_secret in configured:
        return ok("the account signs with JAMBONZ_WEBHOOK_SECRET")
    step = f"set JAMBONZ_WEBHOOK_SECRET in .env.local: {place}; then restart the gateway"
    message = "the account signs its hooks, and JAMBONZ_WEBHOOK_SECRET is not set"
    if configured:
        message = (
            "the account signs with a secret that is not in JAMBONZ_WEBHOOK_SECRET: each hook is "
            "answered with 401"
        )
        return fail(message, step)
    return warn(message, step)


async def _carrier(context: Context) -> Finding:
    livekit = context.config.livekit
    step = carrier_step(livekit.sip_address)
    if livekit.is_cloud:
        return skip("not checked: LiveKit Cloud calls from many addresses", step)
    async with JambonzAccount.connected(context.config.jambonz) as account:
        applications, carriers = await account.applications(), await account.carriers()
    application = select_application(applications, context.config.jambonz.application)
    host, _ = host_and_port(livekit.sip_address)
    addresses = [IPv4Address(text) for text in await addresses_of(host) if ":" not in text]
    if problem := carrier_problem(carriers, application, addresses):
        return fail(f"LiveKit's calls are refused: {problem}", step)
    shown = ", ".join(map(str, addresses))
    return ok(f"calls of LiveKit ({shown}) get the application {application.name!r}")


async def _speech(context: Context) -> Finding:
    async with JambonzAccount.connected(context.config.jambonz) as account:
        applications, vendors = await account.applications(), await account.speech_vendors()
    application = select_application(applications, context.config.jambonz.application)
    return speech(application, vendors)


def speech(application: Application, vendors: Sequence[str]) -> Finding:
    """Whether Jambonz can speak a `say` of the fallback; `vendors` have a credential."""
    vendor = application.speech_vendor
    if vendor in vendors:
        return ok(f"a fallback that is said is spoken by {vendor}")
    step = (
        f"Jambonz portal, Speech: add a credential of {vendor or 'a vendor'} for text-to-speech, "
        "or choose another vendor in the application; or use {play: 'https://…'} as the fallback"
    )
    message = (
        f"the account has no credential for the speech of {vendor or 'the application'}: a caller "
        "who gets a fallback that is said is answered and hung up"
    )
    return fail(message, step)
