"""A client of Jambonz's REST API: one account, as jambonz-api-server 0.9.7-rc1 has it.

A PUT changes only the fields that it names. A hook without its `webhook_sid` becomes a new webhook.
With it, the PUT would change a webhook that other applications may share, and a PUT of nothing else
is answered with 500.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp

from gateway.config.settings import JambonzSettings
from gateway.errors import ConfigError, GatewayError
from gateway.tools.setup.jambonz import (
    Application,
    Carrier,
    Hook,
    hook_body,
    read_application,
    read_carrier,
    read_gateway,
    read_speech_vendor,
)

T = TypeVar("T")

#: Of one request, in s.
TIMEOUT = 10.0
#: How much of a response an error quotes, in characters.
QUOTED_LENGTH = 200


class JambonzUnreachable(GatewayError):
    """The Jambonz REST API did not answer, or what answered is not the REST API."""


class JambonzRefused(GatewayError):
    """The Jambonz REST API refused a request with this HTTP `status`; the text says what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class JambonzAccount:
    """One account at the REST API. Methods raise JambonzRefused and JambonzUnreachable."""

    def __init__(self, settings: JambonzSettings, session: aiohttp.ClientSession) -> None:
        """Use `connected()` for an account with a session of its own."""
        self._settings = settings
        self._session = session
        self._path = f"/Accounts/{settings.account_sid}"
        self._base = settings.rest_url.rstrip("/").removesuffix("/v1").rstrip("/") + "/v1"

    @classmethod
    @asynccontextmanager
    async def connected(cls, settings: JambonzSettings) -> AsyncIterator[Self]:
        """The account, for the length of the context. Raises ConfigError for missing settings."""
        if problems := access_problems(settings):
            raise ConfigError(problems)
        async with aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=TIMEOUT)
        ) as session:
            yield cls(settings, session)

    async def applications(self) -> list[Application]:
        """All applications of the account."""
        path = f"{self._path}/Applications"
        return await self._list("applications", path, read_application)

    async def carriers(self) -> list[Carrier]:
        """The account's carriers, with the networks that Jambonz accepts calls of each from.

        Those that a service provider shares with its accounts are not listed.
        """
        carriers = await self._list("carriers", f"{self._path}/VoipCarriers", read_carrier)
        return [replace(each, networks=await self._networks(each)) for each in carriers]

    async def speech_vendors(self) -> list[str]:
        """The vendors that the account has a credential for speech synthesis of."""
        path = f"{self._path}/SpeechCredentials"
        vendors = await self._list("speech credentials", path, read_speech_vendor)
        return [vendor for vendor in vendors if vendor]

    async def webhook_secret(self) -> str:
        """The secret with which Jambonz signs the account's hooks; "" if it has none."""
        content = await self._request("GET", f"{self._path}/WebhookSecret")
        if not isinstance(content, dict):
            raise self._malformed("a webhook secret of an unknown form")
        return str(content.get("webhook_secret") or "")

    async def set_hooks(self, application: Application, hooks: Mapping[str, Hook]) -> None:
        """Set these hooks of the application, by their names in the API, and nothing else."""
        body = {name: hook_body(hook) for name, hook in hooks.items()}
        await self._request("PUT", f"/Applications/{application.sid}", body)

    async def _networks(self, carrier: Carrier) -> tuple[IPv4Network, ...]:
        path = f"/SipGateways?voip_carrier_sid={carrier.sid}"
        networks = await self._list("SIP gateways", path, read_gateway)
        return tuple(network for network in networks if network)

    async def _list(self, name: str, path: str, read: Callable[[Any], T]) -> list[T]:
        """The entries of a list, each as `read` has it. Raises JambonzUnreachable for others."""
        content = await self._request("GET", path)
        if not isinstance(content, list):
            raise self._malformed(f"{name} that are not an array")
        try:
            return [read(entry) for entry in content]
        except (KeyError, TypeError, AttributeError) as error:
            raise self._malformed(f"{name} of an unknown form") from error

    async def _request(self, method: str, path: str, body: Any = None) -> Any:
        """The response's JSON, None if it is empty."""
        try:
            async with self._session.request(
                method,
                self._base + path,
                json=body,
                headers={"Authorization": f"Bearer {self._settings.api_key}"},
                # A redirect would send the key to another host.
                allow_redirects=False,
            ) as response:
                text = await response.text(errors="replace")
                if response.status >= 300:
                    raise self._refusal(response, text)
        except TimeoutError as error:
            raise JambonzUnreachable(
                f"Jambonz did not answer within {TIMEOUT:g} s at {self._base}: check "
                "JAMBONZ_REST_API_BASE_URL"
            ) from error
        except aiohttp.ClientError as error:
            raise JambonzUnreachable(
                f"Jambonz cannot be reached at {self._base}: {self._quote(str(error))}; check "
                "JAMBONZ_REST_API_BASE_URL"
            ) from error
        try:
            return json.loads(text) if text else None
        except json.JSONDecodeError as error:
            raise self._malformed("something that is not JSON") from error

    def _refusal(self, response: aiohttp.ClientResponse, text: str) -> JambonzRefused:
        status = response.status
        if status < 400:
            location = urlsplit(response.headers.get("Location", ""))
            host = location.netloc.rpartition("@")[2]
            target = f"{location.scheme}://{host}" if host else "another path"
            advice = f"it redirects to {target}: set JAMBONZ_REST_API_BASE_URL to the API itself"
        else:
            advice_by_status = _ADVICE_ON_CHANGE if response.method == "PUT" else _ADVICE
            advice = advice_by_status.get(status, "").format(account=self._settings.account_sid)
        message = self._quote(_message(text)).rstrip(".")
        parts = [f"Jambonz answered {status} at {self._base}", message, advice]
        return JambonzRefused(status, ": ".join(part for part in parts if part))

    def _malformed(self, content: str) -> JambonzUnreachable:
        return JambonzUnreachable(
            f"{self._base} answers {content}: JAMBONZ_REST_API_BASE_URL must be the REST API's "
            "address, not the portal's"
        )

    def _quote(self, text: str) -> str:
        """`text` on one line of at most QUOTED_LENGTH characters, without the key."""
        return " ".join(text.replace(self._settings.api_key, "(key)").split())[:QUOTED_LENGTH]


_ADVICE = {
    400: "check that JAMBONZ_ACCOUNT_SID {account!r} is the account's sid, as the portal shows it",
    401: "JAMBONZ_API_KEY is not accepted; create one in the portal, under the account's API keys",
    403: "JAMBONZ_API_KEY is not for account {account}, see JAMBONZ_ACCOUNT_SID",
    404: (
        "there is no such account {account} (JAMBONZ_ACCOUNT_SID), or "
        "JAMBONZ_REST_API_BASE_URL is not the REST API's address"
    ),
    429: "too many requests; wait five minutes",
}
_NO_APPLICATION = (
    "the application no longer belongs to the account: check the portal, then run this again"
)
_ADVICE_ON_CHANGE = _ADVICE | {
    400: "check GATEWAY_PUBLIC_URL: a host consists of letters, digits, hyphens and dots",
    403: _NO_APPLICATION,
    404: _NO_APPLICATION,
}


def access_problems(settings: JambonzSettings) -> list[str]:
    """What is wrong with the settings for the REST API, a line each."""
    problems = [
        f"{name} is not set: put it into the environment or .env.local"
        for name, value in (
            ("JAMBONZ_REST_API_BASE_URL", settings.rest_url),
            ("JAMBONZ_ACCOUNT_SID", settings.account_sid),
            ("JAMBONZ_API_KEY", settings.api_key),
        )
        if not value
    ]
    if not (settings.api_key.isascii() and settings.api_key.isprintable()):
        problems.append("JAMBONZ_API_KEY has characters that no key has")
    if set(settings.account_sid) & set("/?#% "):
        problems.append("JAMBONZ_ACCOUNT_SID has characters that no sid has")
    return problems


def _message(text: str) -> str:
    """The message of an error, which is `{"msg": …}` or plain text; "" for HTML."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return "" if "<" in text else text
    return str(content.get("msg", "")) if isinstance(content, dict) else ""
