"""Jambonz, by its REST API: the application's hooks and the account's webhook secret."""

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.tools.doctor.check import Check, Finding, Status, fail, ok, skip, together, warn
from gateway.tools.doctor.context import Context
from gateway.tools.setup.jambonz import (
    Application,
    Hook,
    JambonzAccount,
    JambonzRefused,
    JambonzUnreachable,
    access_problems,
    chosen,
    wanted_hooks,
)

_APPLY = "python -m gateway setup --jambonz --apply"
_OLD_ROUTE = "/livekit-simple"


def checks(site: Context) -> list[Check]:
    settings = site.config.jambonz
    if not (settings.rest_url or settings.account_sid or settings.api_key):
        return [Check("jambonz", "Jambonz", _not_configured)]
    return [
        Check("jambonz", "Jambonz", partial(_application, site), limit=25),
        Check("jambonz_hooks", "Jambonz hooks", partial(_hooks, site), ("jambonz",), limit=25),
        Check("jambonz_secret", "Jambonz secret", partial(_secret, site), ("jambonz",), limit=25),
    ]


async def _not_configured() -> Finding:
    step = (
        "set JAMBONZ_REST_API_BASE_URL, JAMBONZ_ACCOUNT_SID and JAMBONZ_API_KEY in .env.local to "
        "have its hooks and secret checked"
    )
    return skip("not looked at, for its REST API is not configured", step)


async def _application(site: Context) -> Finding:
    settings = site.config.jambonz
    if problems := access_problems(settings):
        return fail("\n".join(problems), "set all three, or none of them")
    try:
        application = await _chosen(site.config)
    except ConfigError as error:
        return fail(str(error), "jambonz.application in config.yaml: its name or sid")
    except (JambonzRefused, JambonzUnreachable) as error:
        return fail(str(error), "then run this again")
    return ok(f"the account is there, its application is {application.name!r}")


async def _chosen(config: Config) -> Application:
    async with JambonzAccount.connected(config.jambonz) as account:
        return chosen(await account.applications(), config.jambonz.application)


async def _hooks(site: Context) -> Finding:
    public_url = site.config.server.public_url
    application = await _chosen(site.config)
    if not public_url:
        step = f"set GATEWAY_PUBLIC_URL, then {_APPLY}"
        return fail("nobody can say where they should lead: GATEWAY_PUBLIC_URL is not set", step)
    return hooks(application, wanted_hooks(public_url))


def hooks(application: Application, wanted: Mapping[str, str]) -> Finding:
    """The application's hooks against those that are `wanted`, by the API's names."""
    pairs = [(name, application.hooks.get(name), url) for name, url in wanted.items()]
    findings = [_hook(*pair) for pair in pairs]
    wrong = [finding for finding in findings if finding.status is not Status.OK]
    if wrong:
        return together(wrong)
    return ok(f"{' and '.join(wanted)} of {application.name!r} lead to the gateway, by POST")


def _hook(name: str, hook: Hook | None, wanted: str) -> Finding:
    if hook is None:
        return fail(f"{name} is not set", _APPLY)
    if hook.url.partition("#")[0] != wanted.partition("#")[0]:
        old = ", the old route" if urlsplit(hook.url).path.endswith(_OLD_ROUTE) else ""
        return fail(f"{name} leads to {_shown(hook.url)}{old}", _APPLY)
    if hook.method != "POST":
        return fail(f"{name} is sent by {hook.method}, which tells nothing of the call", _APPLY)
    if hook.url != wanted:
        return warn(f"{name} leads here, but Jambonz does not repeat it where it fails", _APPLY)
    return ok(name)


def _shown(url: str) -> str:
    """Without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def _secret(site: Context) -> Finding:
    security = site.config.security
    if security.webhook_auth and not security.webhook_secrets:
        return skip("hooks are proven by JAMBONZ_WEBHOOK_AUTH, not by the account's secret")
    async with JambonzAccount.connected(site.config.jambonz) as account:
        try:
            theirs = await account.webhook_secret()
        except JambonzRefused as refusal:
            return skip(f"Jambonz does not tell the account's webhook secret: {refusal}")
    return secret(theirs, security.webhook_secrets)


def secret(theirs: str, ours: tuple[str, ...]) -> Finding:
    """The account's webhook secret against those that hooks are checked with."""
    place = "the account's webhook secret (Jambonz portal: Account)"
    if not theirs:
        return fail("the account has no webhook secret: hooks are not signed", f"make {place}")
    if theirs in ours:
        return ok("the account signs with JAMBONZ_WEBHOOK_SECRET")
    step = f"JAMBONZ_WEBHOOK_SECRET: {place} into .env.local, then start the gateway again"
    saw = "the account signs its hooks, and JAMBONZ_WEBHOOK_SECRET is not set"
    if ours:
        saw = (
            "the account signs with a secret that JAMBONZ_WEBHOOK_SECRET has not: each hook is 401"
        )
        return fail(saw, step)
    return warn(saw, step)
