"""Our own side: configuration, the gateway that runs, its public address, who should not come."""

import time
from collections.abc import Sequence
from functools import partial
from urllib.parse import urlsplit

from gateway import __version__
from gateway.config.settings import Config
from gateway.tools.doctor.check import Check, Finding, Result, fail, ok, together, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.web import Answer, NoAnswer, read_object

DIAGNOSTICS = "/livekit-api/diagnostics"
_LOCAL = frozenset({"127.0.0.1", "::1", "localhost"})

#: What to do about a door without a proof, by the variable that is missing.
_PROOFS = {
    "JAMBONZ_WEBHOOK_SECRET": (
        "JAMBONZ_WEBHOOK_SECRET: the account's webhook secret (Jambonz portal: Account) into "
        ".env.local"
    ),
    "GATEWAY_API_KEYS": (
        "GATEWAY_API_KEYS=name:dispatch:secret, one for each user, into .env.local; "
        "python -m gateway key NAME dispatch makes one"
    ),
}


def checks(site: Context) -> list[Check]:
    async def configured() -> Finding:
        return configuration(site.config)

    return [
        Check("configuration", "configuration", configured),
        Check("gateway", "gateway", partial(_gateway, site)),
        Check("public_url", "public URL", partial(_public_url, site)),
        Check("old_route", "old route", partial(_old_route, site), needs=("gateway",)),
        Check("strangers", "strangers", partial(_strangers, site), needs=("gateway",)),
    ]


def unusable(problems: Sequence[str]) -> Result:
    """The configuration keeps even the gateway from starting: all there is to say."""

    async def look() -> Finding:
        return finding

    finding = fail("\n".join(problems), "put that right, then run this again for all the rest")
    return Result(Check("configuration", "configuration", look), finding)


def configuration(config: Config) -> Finding:
    """A configuration that can be used; what it leaves open."""
    strategy = config.inbound.strategy
    findings = [ok(f"can be used: agent {config.agent.name!r}, inbound strategy {strategy!r}")]
    if config.unauthenticated_endpoints:
        effect = (
            "everybody may use those doors"
            if config.security.allow_unauthenticated
            else "the gateway listens on loopback only"
        )
        steps = "\n".join(_PROOFS[name] for name in config.unauthenticated_endpoints)
        findings.append(
            warn(f"{' and '.join(config.unauthenticated_endpoints)} not set: {effect}", steps)
        )
    callbacks = config.callbacks
    if callbacks.urls and not (callbacks.secrets or callbacks.header):
        step = (
            "CALLBACK_SECRET=whsec_… (signature) or CALLBACK_HEADER='Name: value' into .env.local"
        )
        findings.append(warn("callbacks carry no proof that they are ours", step))
    return together(findings)


async def _gateway(site: Context) -> Finding:
    try:
        answer = await site.web.ask(f"{site.web.url}/readyz")
    except NoAnswer as error:
        return fail(str(error), next_without_gateway(site.web.url))
    content = read_object(answer.body)
    if content is None or "checks" not in content:
        step = "stop that, or give the gateway's own address with --url"
        return fail(f"something else than the gateway answers at {site.web.url}", step)
    if answer.status != 200:
        wrong = [f"{name}: {state}" for name, state in content["checks"].items() if state != "ok"]
        step = "its log tells more; the other checks here may tell why"
        return fail(f"runs at {site.web.url} but is not ready: {'; '.join(wrong)}", step)
    return await _same(site)


async def _same(site: Context) -> Finding:
    """Whether the gateway that runs is of this version and strategy."""
    url, strategy = site.web.url, site.config.inbound.strategy
    try:
        told = await site.web.gateway(DIAGNOSTICS)
    except NoAnswer as error:
        return warn(f"runs at {url}, but: {error}", next_without_diagnostics(error))
    findings = [ok(f"{told.get('version')} runs at {url}, ready")]
    again = "start the gateway again: python -m gateway serve"
    if told.get("version") != __version__:
        findings.append(warn(f"this is {__version__}: not the same version", again))
    if told.get("strategy") != strategy:
        saw = f"it uses inbound.strategy {told.get('strategy')!r}, here {strategy!r} is configured"
        findings.append(warn(saw, again))
    return together(findings)


def next_without_gateway(url: str) -> str:
    return f"start it: python -m gateway serve (or say where it runs: --url, instead of {url})"


def next_without_diagnostics(error: NoAnswer) -> str:
    if error.code == "address_not_allowed":
        return "ask from one of security.api_addresses, or add the address that it saw"
    if error.status in {401, 403}:
        return "GATEWAY_API_KEYS must be the same here as where the gateway runs"
    if error.status == 404:
        return "it is an older version, or another program: start the one of here"
    return "its log tells more"


async def _public_url(site: Context) -> Finding:
    url = site.config.server.public_url.rstrip("/")
    if not url:
        saw = "not set: workers report to loopback, and hooks that fail are not repeated by Jambonz"
        return warn(saw, "GATEWAY_PUBLIC_URL=https://… into .env.local: where Jambonz reaches us")
    try:
        health = await site.web.ask(f"{url}/healthz")
        hook = await site.web.ask(
            f"{url}/livekit-api",
            method="POST",
            headers={"Content-Type": "application/json"},
            body=b"{}",
        )
    except NoAnswer as error:
        step = "GATEWAY_PUBLIC_URL must be the gateway's address from outside, DNS and proxy ready"
        return fail(f"{url} from here: {error}", step)
    return public_answers(site.config, health, hook)


def public_answers(config: Config, health: Answer, hook: Answer) -> Finding:
    """What the public address answered to `/healthz` and to an unsigned call hook."""
    url = config.server.public_url.rstrip("/")
    if health.status != 200 or (read_object(health.body) or {}).get("status") != "ok":
        step = "have GATEWAY_PUBLIC_URL, or the proxy behind it, lead to the gateway"
        return fail(f"{url}/healthz answers {health.status}, not as the gateway does", step)
    findings = [ok(f"{url} leads to a gateway, asked from here; outside may differ")]
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _LOCAL:
        findings.append(warn("not https: calls and hooks can be read on the way", "use https://…"))
    return together([*findings, _unsigned(config, hook)])


def _unsigned(config: Config, hook: Answer) -> Finding:
    code = (read_object(hook.body) or {}).get("error")
    if code == "address_not_allowed":
        return ok("hooks are taken from security.jambonz_addresses only, not from here")
    if hook.status == 401 and code in {"bad_signature", "bad_basic_auth"}:
        return ok("an unsigned hook is refused there")
    if hook.status == 401 or hook.status >= 500 or hook.status in {403, 404, 405}:
        step = "have the proxy hand on POST /livekit-api and all below it, unchanged"
        return fail(f"POST /livekit-api is answered {hook.status} there, not by the gateway", step)
    saw = "the gateway there takes hooks without a signature"
    if config.security.has_webhook_auth:
        return fail(saw, "set JAMBONZ_WEBHOOK_SECRET where the gateway runs, then start it again")
    return warn(saw, _PROOFS["JAMBONZ_WEBHOOK_SECRET"])


async def _old_route(site: Context) -> Finding:
    try:
        calls = (await site.web.gateway(DIAGNOSTICS)).get("legacy_calls", {})
    except NoAnswer as error:
        return warn(str(error), next_without_diagnostics(error))
    if not calls.get("count"):
        return ok("no call came in by /livekit-simple since the gateway started")
    last = f", the last {ago(calls['last_at'])} ago" if calls.get("last_at") else ""
    saw = f"{calls['count']} still came in by /livekit-simple since the gateway started{last}"
    step = (
        "move those applications' call hook to /livekit-api: Jambonz portal, Applications; or "
        "python -m gateway setup --jambonz --apply"
    )
    return warn(saw, step)


async def _strangers(site: Context) -> Finding:
    try:
        rooms = (await site.web.gateway(DIAGNOSTICS)).get("stray_rooms", {})
    except NoAnswer as error:
        return warn(str(error), next_without_diagnostics(error))
    if not rooms.get("count"):
        return ok("no stranger's call came into LiveKit since the gateway started")
    last = f", the last {ago(rooms['last_at'])} ago" if rooms.get("last_at") else ""
    saw = f"calls that nobody announced came into LiveKit and were ended: {rooms['count']}{last}"
    steps = [
        "trunks.inbound_addresses: only what Jambonz's SBCs send INVITEs from, then "
        "python -m gateway setup"
    ]
    if not site.config.livekit.is_cloud:
        steps.append(
            "livekit-server's configuration, `room`: `auto_create: false`, so that such a call is "
            "refused at once"
        )
    return warn(saw, "\n".join(steps))


def ago(at: int) -> str:
    """How long `at` (ms since epoch) is gone: `12 s`, `3 min`, `5 h`."""
    seconds = max(0, round(time.time() - at / 1000))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
