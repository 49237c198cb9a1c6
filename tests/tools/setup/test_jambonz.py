"""The client of the Jambonz REST API, with right and wrong settings."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from aiohttp import web

from gateway.config.settings import JambonzSettings
from gateway.errors import ConfigError
from gateway.tools.setup.jambonz import (
    Application,
    Carrier,
    Hook,
    HooksPlan,
    carrier_problem,
    desired_hooks,
    select_application,
)
from gateway.tools.setup.jambonz_rest import (
    JambonzAccount,
    JambonzRefused,
    JambonzUnreachable,
    access_problems,
)
from tests.fakes.jambonz_rest import (
    ACCOUNT,
    KEY,
    FakeJambonz,
    application,
    carrier,
    sip_gateway,
    speech_credential,
    webhook,
)

DESIRED = desired_hooks("https://gw.example.com/")


def settings(fake: FakeJambonz, **changes: str) -> JambonzSettings:
    values = {"rest_url": fake.url, "account_sid": ACCOUNT, "api_key": KEY}
    return JambonzSettings(**{**values, **changes})


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
async def test_the_base_url_may_end_with_or_without_v1(end: str) -> None:
    fake = FakeJambonz([application("a", call_hook="https://x/y")])
    async with (
        fake.serving(),
        JambonzAccount.connected(settings(fake, rest_url=fake.url + end)) as account,
    ):
        (only,) = await account.applications()
        assert only.name == "a"
        assert only.hooks == {"call_hook": Hook("https://x/y")}
        assert await account.webhook_secret() == "wh_secret_of_the_account"


async def test_only_hooks_that_differ_are_set_and_nothing_else() -> None:
    content = application("a", messaging_hook="https://x/sms")
    content["call_hook"] = webhook("https://x/y", method="GET", username="u", password="p")
    content["call_status_hook"] = webhook(DESIRED["call_status_hook"])
    before = {**content}
    async with FakeJambonz([content]).serving() as fake:
        async with JambonzAccount.connected(settings(fake)) as account:
            plan = HooksPlan((await account.applications())[0], DESIRED)
            assert list(plan.changes) == ["call_hook"]
            await account.set_hooks(plan.application, plan.changes)
            assert not HooksPlan((await account.applications())[0], DESIRED).changes
        sent = fake.requests[1]
    new = {"url": DESIRED["call_hook"], "method": "POST", "username": "u", "password": "p"}
    assert sent[0] == "PUT"
    assert sent[2] == {"call_hook": new}
    assert {**content, "call_hook": before["call_hook"]} == before


@pytest.mark.parametrize(
    ("changes", "status", "text"),
    [
        ({"api_key": "other"}, 401, "JAMBONZ_API_KEY is not accepted"),
        ({"account_sid": "no-sid"}, 400, "JAMBONZ_ACCOUNT_SID 'no-sid'"),
        ({"account_sid": "00000000-0000-4000-8000-000000000000"}, 403, "is not for account 0000"),
        ({"account_sid": "11111111-2222-3333-4444-555555555555"}, 400, "JAMBONZ_ACCOUNT_SID '1111"),
        ({"rest_url": "{url}/portal"}, 404, "/portal/v1: there is no such account"),
    ],
)
async def test_a_wrong_setting_is_named(changes: dict[str, str], status: int, text: str) -> None:
    async with FakeJambonz().serving() as fake:
        changed = {name: value.format(url=fake.url) for name, value in changes.items()}
        async with JambonzAccount.connected(settings(fake, **changed)) as account:
            with pytest.raises(JambonzRefused, match=text) as refused:
                await account.applications()
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("sid", "public_url", "status", "text"),
    [
        ("", "http://my_gateway:8080", 400, "hostname my_gateway: check GATEWAY_PUBLIC_URL"),
        (
            "00000000-0000-4000-8000-000000000000",
            "https://gw.example.com",
            403,
            "no longer belongs",
        ),
    ],
)
async def test_a_refused_change_does_not_blame_the_account(
    sid: str, public_url: str, status: int, text: str
) -> None:
    content = application("a")
    changes = HooksPlan(Application("", "a", {}), desired_hooks(public_url)).changes
    async with (
        FakeJambonz([content]).serving() as fake,
        JambonzAccount.connected(settings(fake)) as account,
    ):
        with pytest.raises(JambonzRefused, match=text) as refused:
            await account.set_hooks(
                Application(sid or content["application_sid"], "a", {}), changes
            )
    assert refused.value.status == status
    assert "JAMBONZ_ACCOUNT_SID" not in str(refused.value)
    assert content["call_hook"] is None


async def test_the_key_is_neither_redirected_nor_quoted() -> None:
    elsewhere = FakeJambonz()
    async with FakeJambonz().serving() as fake, elsewhere.serving():
        fake.failures.extend(
            [
                web.Response(status=307, headers={"Location": f"{elsewhere.url}/v1/x"}),
                web.json_response({"msg": f"bad key {KEY} in line"}, status=500),
                web.Response(text="<html>portal</html>"),
                web.json_response({"a": 1}),
                web.json_response([{"name": "a"}]),
            ]
        )
        async with JambonzAccount.connected(settings(fake)) as account:
            for error, text in (
                (JambonzRefused, f"it redirects to {elsewhere.url}: set JAMBONZ_REST_API"),
                (JambonzRefused, "500 at .*bad key .key. in line"),
                (JambonzUnreachable, "something that is not JSON"),
                (JambonzUnreachable, "applications that are not an array"),
                (JambonzUnreachable, "applications of an unknown form"),
            ):
                with pytest.raises(error, match=text) as refused:
                    await account.applications()
                assert KEY not in str(refused.value)
        assert KEY not in repr(settings(fake))
    assert elsewhere.requests == []


async def test_an_unreachable_api_is_named_with_its_address() -> None:
    dead = JambonzSettings(rest_url="http://127.0.0.1:9/v1", account_sid="a", api_key=KEY)
    async with JambonzAccount.connected(dead) as account:
        with pytest.raises(JambonzUnreachable, match=r"at http://127\.0\.0\.1:9/v1: .*BASE_URL"):
            await account.applications()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"rest_url": ""}, "JAMBONZ_REST_API_BASE_URL is not set"),
        ({"account_sid": ""}, "JAMBONZ_ACCOUNT_SID is not set"),
        ({"api_key": ""}, "JAMBONZ_API_KEY is not set"),
        ({"api_key": "a\nb"}, "JAMBONZ_API_KEY has characters"),
        ({"account_sid": "a/../b"}, "JAMBONZ_ACCOUNT_SID has characters"),
    ],
)
async def test_unusable_settings_are_refused(changes: dict[str, str], text: str) -> None:
    values = {"rest_url": "https://j.example.com", "account_sid": "a", "api_key": "k", **changes}
    (problem,) = access_problems(JambonzSettings(**values))
    assert text in problem
    with pytest.raises(ConfigError, match="JAMBONZ_"):
        async with JambonzAccount.connected(JambonzSettings(**values)):
            pass


def app(name: str) -> Application:
    return Application(f"sid-{name}", name, {})


@pytest.mark.parametrize(
    ("applications", "configured", "name"),
    [
        ([app("a")], "", "a"),
        ([app("a"), app("b")], "b", "b"),
        ([app("a"), app("b")], "sid-b", "b"),
    ],
)
def test_which_application_is_used(
    applications: list[Application], configured: str, name: str
) -> None:
    assert select_application(applications, configured).name == name


@pytest.mark.parametrize(
    ("applications", "configured", "text"),
    [
        ([], "", "has no application"),
        ([app("a"), app("b")], "", "must be the name or sid of one of"),
        ([app("a"), app("b")], "c", "there is no 'c'"),
        ([app("a"), app("a")], "a", "must be the name or sid of one of"),
    ],
)
def test_an_ambiguous_application_is_refused(
    applications: list[Any], configured: str, text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        select_application(applications, configured)


@pytest.mark.field("J9")
@pytest.mark.parametrize(
    ("carriers", "problem"),
    [
        ([Carrier("1", "livekit", "app", (IPv4Network("192.0.2.0/28"),))], ""),
        ([], "no carrier of the account lists LiveKit's 192.0.2.7 as an inbound SIP gateway"),
        (
            [Carrier("1", "trunk", "app", (IPv4Network("198.51.100.0/24"),))],
            "no carrier of the account lists LiveKit's 192.0.2.7 as an inbound SIP gateway",
        ),
        (
            [Carrier("1", "livekit", "", (IPv4Network("192.0.2.7/32"),))],
            "the carrier of LiveKit's 192.0.2.7, 'livekit', does not have the application 'calls'",
        ),
    ],
    ids=["right", "none", "other address", "no application"],
)
def test_livekits_address_must_be_a_carrier_with_the_application(
    carriers: list[Carrier], problem: str
) -> None:
    application = Application("app", "calls", {})
    assert carrier_problem(carriers, application, [IPv4Address("192.0.2.7")]) == problem


async def test_carriers_have_the_networks_of_their_inbound_gateways() -> None:
    fake = FakeJambonz(carriers=[carrier("livekit", "app"), carrier("empty")])
    gateways = [
        sip_gateway("192.0.2.7", netmask=28),
        sip_gateway("198.51.100.1", inbound=0),
        sip_gateway("sip.example.com"),
    ]
    fake.gateways = {fake.carriers[0]["voip_carrier_sid"]: gateways}
    async with fake.serving(), JambonzAccount.connected(settings(fake)) as account:
        livekit, empty = await account.carriers()
    assert (livekit.application_sid, livekit.networks) == ("app", (IPv4Network("192.0.2.0/28"),))
    assert (empty.application_sid, empty.networks) == ("", ())


async def test_only_credentials_for_synthesis_count() -> None:
    fake = FakeJambonz(speech=[speech_credential("google"), speech_credential("x", use_for_tts=0)])
    async with fake.serving(), JambonzAccount.connected(settings(fake)) as account:
        assert await account.speech_vendors() == ["google"]


SOCKET = "wss://gw.example.com/livekit-api"


@pytest.mark.field("J10")
@pytest.mark.parametrize(
    ("call_hook", "status_hook", "changed"),
    [
        (SOCKET, SOCKET, []),
        (SOCKET, f"{SOCKET}/call-status", []),
        (f"{SOCKET}#rc=5", DESIRED["call_status_hook"], []),
        (SOCKET, "wss://other.example.com/livekit-api", ["call_status_hook"]),
        ("wss://gw.example.com/", SOCKET, ["call_hook", "call_status_hook"]),
        (DESIRED["call_hook"], SOCKET, ["call_status_hook"]),
    ],
)
def test_hooks_over_the_gateways_websocket_stay(
    call_hook: str, status_hook: str, changed: list[str]
) -> None:
    hooks = {"call_hook": Hook(call_hook, "WS"), "call_status_hook": Hook(status_hook)}
    if not call_hook.startswith("wss"):
        hooks["call_hook"] = Hook(call_hook)
    plan = HooksPlan(Application("1", "calls", hooks), DESIRED)
    assert sorted(plan.changes) == changed
