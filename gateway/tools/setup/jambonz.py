"""The Jambonz account over its REST API: its applications, their hooks, its webhook secret.

Tried with jambonz-api-server 0.9.7-rc1: a PUT changes only what it names. A hook given without its
`webhook_sid` becomes a new webhook; with it, one that other applications may share would change,
and naming nothing else besides is a 500.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from gateway.config.settings import JambonzSettings
from gateway.errors import ConfigError, GatewayError
from gateway.jambonz.urls import CALL_HOOK, CALL_STATUS_HOOK, RETRY

#: For each request, in s.
TIMEOUT = 10.0
#: Of what the server says, so much is repeated.
TOLD = 200

#: The hooks that are ours to set, as the API names them, and where they lead at the gateway.
HOOKS = {
    "call_hook": CALL_HOOK + RETRY,
    "call_status_hook": CALL_STATUS_HOOK,
}


class JambonzUnreachable(GatewayError):
    """No answer from the Jambonz REST API, or none that it would give."""


class JambonzRefused(GatewayError):
    """The Jambonz REST API said no with this HTTP `status`; the text says what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Hook:
    """A webhook of an application; `username` and `password` are for basic auth, "" for none."""

    url: str
    method: str = "POST"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Application:
    """`hooks` by the API's names (`call_hook`, …); one that is not set is left out."""

    sid: str
    name: str
    hooks: Mapping[str, Hook]


class JambonzAccount:
    """One account. Raises JambonzRefused, JambonzUnreachable."""

    def __init__(self, settings: JambonzSettings, session: aiohttp.ClientSession) -> None:
        """See `connected()`; `session` stays yours."""
        self._settings = settings
        self._session = session
        self._base = settings.rest_url.rstrip("/").removesuffix("/v1").rstrip("/") + "/v1"

    @classmethod
    @asynccontextmanager
    async def connected(cls, settings: JambonzSettings) -> AsyncIterator[Self]:
        """The account while in the context. Raises ConfigError if the settings cannot do."""
        if problems := access_problems(settings):
            raise ConfigError(problems)
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        ) as session:
            yield cls(settings, session)

    async def applications(self) -> list[Application]:
        """All of the account's."""
        found = await self._ask("GET", f"/Accounts/{self._settings.account_sid}/Applications")
        if not isinstance(found, list):
            raise self._strange("applications that are no list")
        try:
            return [_application(content) for content in found]
        except (KeyError, TypeError, AttributeError) as error:
            raise self._strange("applications in a form that is not known") from error

    async def webhook_secret(self) -> str:
        """What the account's hooks are signed with; "" if it has none."""
        found = await self._ask("GET", f"/Accounts/{self._settings.account_sid}/WebhookSecret")
        if not isinstance(found, dict):
            raise self._strange("a webhook secret in a form that is not known")
        return str(found.get("webhook_secret") or "")

    async def set_hooks(self, application: Application, hooks: Mapping[str, Hook]) -> None:
        """Give the application these hooks, by the API's names; whatever else it has stays."""
        body = {name: _wire(hook) for name, hook in hooks.items()}
        await self._ask("PUT", f"/Applications/{application.sid}", body)

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON, None for an empty one."""
        try:
            async with self._session.request(
                method,
                self._base + path,
                json=body,
                headers={"Authorization": f"Bearer {self._settings.api_key}"},
                # The key must not go where an answer says it should.
                allow_redirects=False,
            ) as answer:
                text = await answer.text(errors="replace")
                if answer.status >= 300:
                    raise self._refusal(answer, text)
        except TimeoutError as error:
            raise JambonzUnreachable(
                f"Jambonz did not answer within {TIMEOUT:g} s at {self._base}: check "
                "JAMBONZ_REST_API_BASE_URL"
            ) from error
        except aiohttp.ClientError as error:
            raise JambonzUnreachable(
                f"Jambonz cannot be reached at {self._base}: {self._fit(str(error))}; check "
                "JAMBONZ_REST_API_BASE_URL"
            ) from error
        try:
            return json.loads(text) if text else None
        except json.JSONDecodeError as error:
            raise self._strange("something that is not JSON") from error

    def _refusal(self, answer: aiohttp.ClientResponse, text: str) -> JambonzRefused:
        status = answer.status
        if status < 400:
            to = urlsplit(answer.headers.get("Location", ""))
            place = f"{to.scheme}://{to.netloc.rpartition('@')[2]}" if to.netloc else "elsewhere"
            advice = f"it sends us to {place}: set JAMBONZ_REST_API_BASE_URL to the API itself"
        else:
            known = _ADVICE_ON_CHANGE if answer.method == "PUT" else _ADVICE
            advice = known.get(status, "").format(account=self._settings.account_sid)
        said = self._fit(_message(text)).rstrip(".")
        lines = [f"Jambonz answered {status} at {self._base}", said, advice]
        return JambonzRefused(status, ": ".join(line for line in lines if line))

    def _strange(self, what: str) -> JambonzUnreachable:
        return JambonzUnreachable(
            f"{self._base} answers {what}: JAMBONZ_REST_API_BASE_URL must be the REST API's "
            "address, not the portal's"
        )

    def _fit(self, text: str) -> str:
        """What others say, without the key, on one line, not too long."""
        return " ".join(text.replace(self._settings.api_key, "(key)").split())[:TOLD]


_ADVICE = {
    400: "check that JAMBONZ_ACCOUNT_SID {account!r} is the account's sid, as the portal shows it",
    401: "JAMBONZ_API_KEY is not accepted; make one in the portal under the account's API keys",
    403: "JAMBONZ_API_KEY is not for account {account}, see JAMBONZ_ACCOUNT_SID",
    404: (
        "there is no such account {account} (JAMBONZ_ACCOUNT_SID), or "
        "JAMBONZ_REST_API_BASE_URL is not the REST API's address"
    ),
    429: "it has been asked too often; wait five minutes",
}
_GONE = "the application is no longer the account's: see the portal, then run this again"
_ADVICE_ON_CHANGE = _ADVICE | {
    400: "check GATEWAY_PUBLIC_URL; in its host may be letters, digits, hyphens and dots",
    403: _GONE,
    404: _GONE,
}


def access_problems(settings: JambonzSettings) -> list[str]:
    """Why the REST API cannot be asked, a line each; empty when it can."""
    problems = [
        f"{name} is not set: put it into the environment or .env.local"
        for name, value in (
            ("JAMBONZ_REST_API_BASE_URL", settings.rest_url),
            ("JAMBONZ_ACCOUNT_SID", settings.account_sid),
            ("JAMBONZ_API_KEY", settings.api_key),
        )
        if not value
    ]
    if settings.rest_url and not _is_web_address(settings.rest_url):
        problems.append("JAMBONZ_REST_API_BASE_URL must be of the form https://host/v1")
    if not (settings.api_key.isascii() and settings.api_key.isprintable()):
        problems.append("JAMBONZ_API_KEY has characters in it that no key has")
    if set(settings.account_sid) & set("/?#% "):
        problems.append("JAMBONZ_ACCOUNT_SID has characters in it that no sid has")
    return problems


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    # Credentials in it would be a second proof beside the key, which aiohttp refuses to send.
    has_host = bool(parts.hostname) and "@" not in parts.netloc
    return parts.scheme in {"http", "https"} and has_host and has_port


def wanted_hooks(public_url: str) -> Mapping[str, str]:
    """The URL of each hook that is ours, for a gateway that is reached at `public_url`."""
    return {name: public_url.rstrip("/") + path for name, path in HOOKS.items()}


def chosen(applications: Sequence[Application], named: str) -> Application:
    """The one with this name or sid; without one, the only one. Raises ConfigError."""
    fitting = [app for app in applications if not named or named in {app.sid, app.name}]
    if len(fitting) == 1:
        return fitting[0]
    if not applications:
        raise ConfigError(["the Jambonz account has no application: make one in the portal"])
    there = ", ".join(f"{app.name!r} ({app.sid})" for app in applications)
    what = f"{named!r} is none of them" if named and not fitting else "which one is it"
    raise ConfigError([f"jambonz.application: {what}? The account has {there}"])


@dataclass(frozen=True, slots=True)
class HooksPlan:
    """What `application` has, the URLs it should have, and the `changes` that takes."""

    application: Application
    wanted: Mapping[str, str]

    @property
    def changes(self) -> Mapping[str, Hook]:
        """The hooks that are not as wanted, as they should be; their credentials stay."""
        changes = {}
        for name, url in self.wanted.items():
            now = self.application.hooks.get(name, Hook(""))
            to_be = Hook(url, "POST", now.username, now.password)
            if now != to_be:
                changes[name] = to_be
        return changes


def _application(content: Mapping[str, Any]) -> Application:
    hooks = {name: _hook(content[name]) for name in HOOKS if content.get(name)}
    return Application(content["application_sid"], content["name"], hooks)


def _hook(content: Mapping[str, Any]) -> Hook:
    return Hook(
        url=content["url"],
        method=content.get("method") or "POST",
        username=content.get("username") or "",
        password=content.get("password") or "",
    )


def _wire(hook: Hook) -> Mapping[str, str]:
    credentials = {"username": hook.username, "password": hook.password} if hook.username else {}
    return {"url": hook.url, "method": hook.method, **credentials}


def _message(text: str) -> str:
    """What the API says in an error: `{"msg": …}`, or plain text."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return "" if "<" in text else text
    return str(content.get("msg", "")) if isinstance(content, dict) else ""
