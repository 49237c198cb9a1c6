"""Checks of the gateway: its configuration, the running process, its public URL, stray calls."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from gateway import __version__
from gateway.config.settings import Config
from gateway.jambonz.urls import CALL_STATUS_HOOK
from gateway.tools.doctor.check import Check, Finding, Result, combined, fail, ok, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.web import RequestFailed, Response, read_object

#: The error of a gateway without credentials, which answers to loopback names only.
NOT_THIS_HOST = "host_not_allowed"
SET_CREDENTIALS = (
    "set JAMBONZ_WEBHOOK_SECRET and GATEWAY_API_KEYS where the gateway runs, then restart it"
)
DIAGNOSTICS = "/livekit-api/diagnostics"
SET_HOOKS = "python -m gateway setup --jambonz --apply"
_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})

#: How to set a variable without which endpoints are unauthenticated.
_AUTHENTICATION = {
    "JAMBONZ_WEBHOOK_SECRET": (
        "set JAMBONZ_WEBHOOK_SECRET in .env.local: the account's webhook secret (Jambonz portal: "
        "Account)"
    ),
    "GATEWAY_API_KEYS": (
        "set GATEWAY_API_KEYS=name:dispatch:secret in .env.local, an entry for each client; "
        "python -m gateway key NAME dispatch creates one"
    ),
}


def checks(context: Context) -> list[Check]:
    async def configured() -> Finding:
        return configuration(context.config, is_dev=context.is_dev)

    return [
        Check("configuration", "configuration", configured, offline=True),
        Check("gateway", "gateway", partial(_gateway, context)),
        Check("public_url", "public URL", partial(_public_url, context)),
        *(
            Check(check_id, title, partial(_counted, context, judge), needs=("gateway",))
            for check_id, title, judge in (
                ("legacy_route", "legacy route", _legacy_route),
                ("status_hooks", "status hooks", _status_hooks),
                ("stray_rooms", "stray rooms", _stray_rooms),
            )
        ),
    ]


def unusable(problems: Sequence[str]) -> Result:
    """The only result if the gateway cannot start with its configuration."""

    async def run() -> Finding:
        return finding

    finding = fail("\n".join(problems), "correct this, then run doctor again for all other checks")
    return Result(Check("configuration", "configuration", run), finding)


def configuration(config: Config, *, is_dev: bool = False) -> Finding:
    """The finding on a valid configuration: what it leaves unauthenticated.

    `is_dev`: everything is on this machine, so that a gateway on loopback needs no keys.
    """
    strategy = config.inbound.strategy
    findings = [ok(f"valid: agent {config.agent.name!r}, inbound strategy {strategy!r}")]
    if config.unauthenticated_endpoints:
        effect = (
            "anyone may use these endpoints"
            if config.security.allow_unauthenticated
            else "the gateway listens on loopback only"
        )
        steps = "\n".join(_AUTHENTICATION[name] for name in config.unauthenticated_endpoints)
        message = f"{' and '.join(config.unauthenticated_endpoints)} not set: {effect}"
        is_fine = is_dev and config.is_loopback_only
        findings.append(ok(message) if is_fine else warn(message, steps))
    callbacks = config.callbacks
    if callbacks.urls and not (callbacks.secrets or callbacks.header):
        step = (
            "set CALLBACK_SECRET=whsec_… (signature) or CALLBACK_HEADER='Name: value' in .env.local"
        )
        findings.append(
            warn("callbacks are sent unauthenticated: n8n cannot verify the sender", step)
        )
    return combined(findings)


async def _gateway(context: Context) -> Finding:
    try:
        response = await context.http.request(
            f"{context.http.url}/readyz", headers=context.http.key_if_any()
        )
    except RequestFailed as error:
        return fail(str(error), next_without_gateway(context.http.url))
    content = read_object(response.body)
    if content and content.get("error") == NOT_THIS_HOST:
        return fail(f"runs at {context.http.url}, but: {content.get('message')}", SET_CREDENTIALS)
    if content is None or "checks" not in content:
        step = "stop that program, or give the gateway's address with --url"
        return fail(f"another program answers at {context.http.url}, not the gateway", step)
    if response.status != 200:
        problems = [
            f"{name}: {state}" for name, state in content["checks"].items() if state != "ok"
        ]
        step = "see the other checks, and the gateway's log"
        return fail(f"runs at {context.http.url} but is not ready: {'; '.join(problems)}", step)
    return await _comparison(context)


async def _comparison(context: Context) -> Finding:
    """Compares the running gateway's version and inbound strategy with those of this machine."""
    url, strategy = context.http.url, context.config.inbound.strategy
    try:
        diagnostics = await context.http.gateway(DIAGNOSTICS)
    except RequestFailed as error:
        return warn(f"runs at {url}, but: {error}", next_without_diagnostics(error))
    findings = [ok(f"{diagnostics.get('version')} runs at {url}, ready")]
    restart = "restart the gateway: python -m gateway serve"
    if diagnostics.get("version") != __version__:
        findings.append(warn(f"doctor is {__version__}: not the same version", restart))
    if diagnostics.get("strategy") != strategy:
        used = diagnostics.get("strategy")
        message = f"it uses inbound.strategy {used!r}, here {strategy!r} is configured"
        findings.append(warn(message, restart))
    return combined(findings)


def next_without_gateway(url: str) -> str:
    return f"start it: python -m gateway serve; or give its address with --url, instead of {url}"


def next_without_diagnostics(error: RequestFailed) -> str:
    if error.code == NOT_THIS_HOST:
        return SET_CREDENTIALS
    if error.code == "address_not_allowed":
        return "run doctor from one of security.api_addresses, or add this machine's address"
    if error.status in {401, 403}:
        return "GATEWAY_API_KEYS must be the same here as where the gateway runs"
    if error.status == 404:
        return "an older version or another program answers: start this version of the gateway"
    return "see its log"


async def _public_url(context: Context) -> Finding:
    url = context.config.server.public_url.rstrip("/")
    if not url and context.is_dev:
        return ok("not set, and not needed: `make run` has everything on this machine")
    if not url:
        message = "not set: workers report to loopback, and Jambonz does not repeat hooks that fail"
        step = "set GATEWAY_PUBLIC_URL=https://… in .env.local: where Jambonz reaches the gateway"
        return warn(message, step)
    try:
        health = await context.http.request(f"{url}/healthz")
        hook = await context.http.request(
            f"{url}/livekit-api",
            method="POST",
            headers={"Content-Type": "application/json"},
            body=b"{}",
        )
    except RequestFailed as error:
        step = "GATEWAY_PUBLIC_URL must be the gateway's public address; check DNS and proxy"
        return fail(f"{url} from here: {error}", step)
    return public_answers(context.config, health, hook)


def public_answers(config: Config, health: Response, hook: Response) -> Finding:
    """Judges the responses of the public URL to `/healthz` and to an unsigned call hook."""
    url = config.server.public_url.rstrip("/")
    answer = read_object(health.body) or {}
    if answer.get("error") == NOT_THIS_HOST:
        return fail(f"{url}/healthz answers: {answer.get('message')}", SET_CREDENTIALS)
    if health.status != 200 or answer.get("status") != "ok":
        step = "correct GATEWAY_PUBLIC_URL, or the proxy there: it must forward to the gateway"
        return fail(f"{url}/healthz answers {health.status}, not as the gateway does", step)
    findings = [ok(f"{url} leads to a gateway, as seen from this machine")]
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOCAL:
        findings.append(warn("not https: hooks can be read in transit", "use https://…"))
    return combined([*findings, _unsigned(config, hook)])


def _unsigned(config: Config, hook: Response) -> Finding:
    code = (read_object(hook.body) or {}).get("error")
    if code == "address_not_allowed":
        return ok("hooks are accepted from security.jambonz_addresses only, not from this machine")
    if hook.status == 401 and code in {"bad_signature", "bad_basic_auth"}:
        return ok("an unsigned hook is refused there")
    if hook.status == 401 or hook.status >= 500 or hook.status in {403, 404, 405}:
        step = "the proxy must forward POST /livekit-api and all paths below it, unchanged"
        return fail(f"POST /livekit-api is answered with {hook.status}, not by the gateway", step)
    message = "the gateway there accepts hooks without a signature"
    if config.security.has_webhook_auth:
        return fail(message, "set JAMBONZ_WEBHOOK_SECRET where the gateway runs, then restart it")
    return warn(message, _AUTHENTICATION["JAMBONZ_WEBHOOK_SECRET"])


async def _counted(
    context: Context, judge: Callable[[Config, Mapping[str, Any]], Finding]
) -> Finding:
    """What `judge` finds in the counters of the gateway's diagnostics."""
    try:
        diagnostics = await context.http.gateway(DIAGNOSTICS)
    except RequestFailed as error:
        return warn(str(error), next_without_diagnostics(error))
    return judge(context.config, diagnostics)


def _legacy_route(_: Config, diagnostics: Mapping[str, Any]) -> Finding:
    calls = diagnostics.get("legacy_calls", {})
    if not calls.get("count"):
        return ok("no calls over /livekit-simple since the gateway started")
    message = f"calls over /livekit-simple since the gateway started: {_count(calls)}"
    step = (
        "change the call hook of these applications to /livekit-api: Jambonz portal, "
        f"Applications; or {SET_HOOKS}"
    )
    return warn(message, step)


def _status_hooks(config: Config, diagnostics: Mapping[str, Any]) -> Finding:
    calls, hooks = diagnostics.get("call_hooks", 0), diagnostics.get("status_hooks", {})
    if hooks.get("count"):
        return ok(f"Jambonz posts call status hooks: {_count(hooks)}")
    if not calls:
        return ok("no calls from Jambonz since the gateway started")
    message = (
        f"call hooks came ({calls}), but no call status hook: the gateway learns late, and from "
        "LiveKit only, that a call is answered and that its caller has hung up"
    )
    step = (
        f"set the application's call status webhook to POST {config.own_url}"
        f"{CALL_STATUS_HOOK}: Jambonz portal, Applications; or {SET_HOOKS}"
    )
    return warn(message, step)


def _stray_rooms(config: Config, diagnostics: Mapping[str, Any]) -> Finding:
    places = {"to rooms of their own": "stray_rooms", "into rooms of calls": "stray_legs"}
    counters = {place: diagnostics.get(name, {}) for place, name in places.items()}
    counts = [f"{place} {_count(it)}" for place, it in counters.items() if it.get("count")]
    if not counts:
        return ok("no unsolicited calls to LiveKit since the gateway started")
    message = f"unsolicited calls to LiveKit, ended by the gateway: {'; '.join(counts)}"
    steps = [
        "restrict trunks.inbound_addresses to the addresses of Jambonz's SBCs, then "
        "python -m gateway setup --apply"
    ]
    if not config.livekit.is_cloud:
        steps.append(
            "set `room: auto_create: false` in livekit-server's configuration: it then refuses "
            "such calls"
        )
    return warn(message, "\n".join(steps))


def _count(counter: Mapping[str, Any]) -> str:
    last_at = counter.get("last_at")
    return f"{counter['count']}, the last {ago(last_at)} ago" if last_at else str(counter["count"])


def ago(at: int) -> str:
    """The time since `at` (ms since epoch): `12 s`, `3 min`, `5 h`."""
    seconds = max(0, round(time.time() - at / 1000))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
