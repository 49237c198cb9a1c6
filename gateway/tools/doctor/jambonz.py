"""Checks of Jambonz by its REST API: the application's hooks, the account's webhook secret."""

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.tools.doctor.check import Check, Finding, Status, combined, fail, ok, skip, warn
from gateway.tools.doctor.context import Context
from gateway.tools.setup.jambonz import (
    Application,
    Hook,
    JambonzAccount,
    JambonzRefused,
    JambonzUnreachable,
    access_problems,
    desired_hooks,
    select_application,
)

_APPLY = "python -m gateway setup --jambonz --apply"
_LEGACY_ROUTE = "/livekit-simple"
#: How long a check may take, in s: it sends two requests.
TIMEOUT = 25


def checks(context: Context) -> list[Check]:
    settings = context.config.jambonz
    if not (settings.rest_url or settings.account_sid or settings.api_key):
        return [Check("jambonz", "Jambonz", _not_configured)]
    return [
        Check("jambonz", "Jambonz", partial(_application, context), timeout=TIMEOUT),
        Check(
            "jambonz_hooks",
            "Jambonz hooks",
            partial(_hooks, context),
            ("jambonz",),
            timeout=TIMEOUT,
        ),
        Check(
            "jambonz_secret",
            "Jambonz secret",
            partial(_secret, context),
            ("jambonz",),
            timeout=TIMEOUT,
        ),
    ]


async def _not_configured() -> Finding:
    step = (
        "to check its hooks and secret, set JAMBONZ_REST_API_BASE_URL, JAMBONZ_ACCOUNT_SID and "
        "JAMBONZ_API_KEY in .env.local"
    )
    return skip("not checked: its REST API is not configured", step)


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
    return hooks(application, desired_hooks(public_url))


def hooks(application: Application, desired: Mapping[str, str]) -> Finding:
    """Compares the application's hooks with the `desired` URLs, both by the API's names."""
    pairs = [(name, application.hooks.get(name), url) for name, url in desired.items()]
    findings = [_hook(*pair) for pair in pairs]
    problems = [finding for finding in findings if finding.status is not Status.OK]
    if problems:
        return combined(problems)
    return ok(f"{' and '.join(desired)} of {application.name!r} lead to the gateway, by POST")


def _hook(name: str, hook: Hook | None, desired: str) -> Finding:
    if hook is None:
        return fail(f"{name} is not set", _APPLY)
    if hook.url.partition("#")[0] != desired.partition("#")[0]:
        legacy = ", the legacy route" if urlsplit(hook.url).path.endswith(_LEGACY_ROUTE) else ""
        return fail(f"{name} leads to {_shown(hook.url)}{legacy}", _APPLY)
    if hook.method != "POST":
        return fail(f"{name} is sent by {hook.method}, which omits the details of the call", _APPLY)
    if hook.url != desired:
        return warn(
            f"{name} leads to the gateway, but Jambonz does not repeat it when it fails", _APPLY
        )
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
