"""Jambonz's REST API in the test's process; it responds as jambonz-api-server 0.9.7-rc1 does."""

import re
import uuid
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.test_utils import TestServer

ACCOUNT = "9351f46a-678c-43f5-b8a6-d4eb58d131af"
KEY = "jambonz-key-for-tests"
WEBHOOK_SECRET = "wh_secret_of_the_account"

#: What the server's `uuid.validate` and `is-valid-hostname` accept, but for lengths.
_SID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_LABEL = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(name: str, **hooks: str) -> dict[str, Any]:
    """An application as the API lists it; `hooks` are the URLs of the hooks that are set."""
    names = ("call_hook", "call_status_hook", "messaging_hook")
    return {
        "application_sid": str(uuid.uuid4()),
        "name": name,
        "service_provider_sid": None,
        "account_sid": ACCOUNT,
        "app_json": None,
        "speech_synthesis_vendor": "google",
        "speech_recognizer_vendor": "google",
        "record_all_calls": 0,
        **{hook: webhook(hooks[hook]) if hook in hooks else None for hook in names},
    }


def webhook(url: str, **more: str) -> dict[str, Any]:
    return {
        "webhook_sid": str(uuid.uuid4()),
        "url": url,
        "method": "POST",
        "username": None,
        "password": None,
        **more,
    }


def carrier(name: str, application_sid: str = "") -> dict[str, Any]:
    """A carrier as the API lists it."""
    return {
        "voip_carrier_sid": str(uuid.uuid4()),
        "name": name,
        "account_sid": ACCOUNT,
        "application_sid": application_sid or None,
        "register_status": {},
    }


def sip_gateway(ipv4: str, *, inbound: int = 1, netmask: int = 32) -> dict[str, Any]:
    """A carrier's SIP gateway as the API lists it."""
    return {
        "sip_gateway_sid": str(uuid.uuid4()),
        "ipv4": ipv4,
        "netmask": netmask,
        "inbound": inbound,
        "outbound": 1,
    }


def speech_credential(vendor: str, *, use_for_tts: int = 1) -> dict[str, Any]:
    """A speech credential as the API lists it."""
    return {"vendor": vendor, "use_for_tts": use_for_tts, "use_for_stt": 1, "api_key": "hidden"}


@dataclass
class FakeJambonz:
    """The API of one account. Each entry of `failures` is the response to one request.

    `gateways` are the SIP gateways by the sid of their carrier.
    """

    applications: list[dict[str, Any]] = field(default_factory=list)
    carriers: list[dict[str, Any]] = field(default_factory=list)
    gateways: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    speech: list[dict[str, Any]] = field(default_factory=list)
    webhook_secret: str = WEBHOOK_SECRET
    failures: deque[web.Response] = field(default_factory=deque)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    url: str = ""

    @property
    def env(self) -> Mapping[str, str]:
        """The environment variables with which a gateway reaches it."""
        return {
            "JAMBONZ_REST_API_BASE_URL": f"{self.url}/v1",
            "JAMBONZ_ACCOUNT_SID": ACCOUNT,
            "JAMBONZ_API_KEY": KEY,
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeJambonz"]:
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/v1/Accounts/{account}", self._account)
        app.router.add_get("/v1/Accounts/{account}/Applications", self._listed)
        app.router.add_get("/v1/Accounts/{account}/WebhookSecret", self._secret)
        app.router.add_get("/v1/Accounts/{account}/VoipCarriers", self._carriers)
        app.router.add_get("/v1/Accounts/{account}/SpeechCredentials", self._speech)
        app.router.add_get("/v1/SipGateways", self._gateways)
        app.router.add_put("/v1/Applications/{application}", self._update)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        self.requests.append((request.method, request.path, body))
        if self.failures:
            return self.failures.popleft()
        if not request.path.startswith("/v1/"):
            return web.Response(status=404, text="<pre>Cannot GET</pre>", content_type="text/html")
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.Response(status=401, text="Unauthorized")
        account = request.match_info.get("account", ACCOUNT)
        sids = (account, request.match_info.get("application", ACCOUNT))
        if not all(map(_SID.fullmatch, sids)):
            return web.json_response({"msg": "Bad request"}, status=400)
        if account != ACCOUNT:
            return web.json_response({"msg": "insufficient permissions"}, status=403)
        return await handler(request)

    async def _account(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"account_sid": ACCOUNT, "name": "tests", "webhook_secret": self.webhook_secret}
        )

    async def _listed(self, _: web.Request) -> web.Response:
        return web.json_response(self.applications)

    async def _carriers(self, _: web.Request) -> web.Response:
        return web.json_response(self.carriers)

    async def _gateways(self, request: web.Request) -> web.Response:
        return web.json_response(self.gateways.get(request.query["voip_carrier_sid"], []))

    async def _speech(self, _: web.Request) -> web.Response:
        return web.json_response(self.speech)

    async def _secret(self, _: web.Request) -> web.Response:
        return web.json_response({"webhook_secret": self.webhook_secret})

    async def _update(self, request: web.Request) -> web.Response:
        """Changes the fields that the body names; a hook without `webhook_sid` is a new one."""
        sid, body = request.match_info["application"], await request.json()
        application = next(
            (app for app in self.applications if app["application_sid"] == sid), None
        )
        if application is None:
            return web.json_response({"msg": "insufficient privileges"}, status=403)
        if message := _bad_host(body):
            return web.json_response({"msg": message}, status=400)
        columns = {}
        for name, value in body.items():
            if not name.endswith("_hook"):
                columns[name] = value
            elif "webhook_sid" in value:
                application[name].update(value)
            else:
                columns[name] = webhook(**value)
        if not columns:
            message = "You have an error in your SQL syntax"
            return web.json_response({"msg": message}, status=500)
        application.update(columns)
        return web.Response(status=204)


def _bad_host(body: Mapping[str, Any]) -> str:
    """The error message for the first hook whose host is invalid; "" if there is none."""
    for name in ("call_hook", "call_status_hook"):
        host = urlsplit(body[name]["url"]).hostname if name in body else None
        if host and not _HOST.fullmatch(host):
            return f"{name} URL has invalid hostname {host}"
    return ""
