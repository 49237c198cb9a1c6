"""The Jambonz REST API's answers, good and bad, as somebody who set it up wrongly meets them."""

from typing import Any

import pytest
from aiohttp import web

from gateway.config.settings import JambonzSettings
from gateway.errors import ConfigError
from gateway.tools.setup.jambonz import (
    Application,
    Hook,
    HooksPlan,
    JambonzAccount,
    JambonzRefused,
    JambonzUnreachable,
    access_problems,
    chosen,
    wanted_hooks,
)
from tests.fakes.jambonz_rest import ACCOUNT, KEY, FakeJambonz, application, webhook

WANTED = wanted_hooks("https://gw.example.com/")


def settings(fake: FakeJambonz, **changes: str) -> JambonzSettings:
    values = {"rest_url": fake.url, "account_sid": ACCOUNT, "api_key": KEY}
    return JambonzSettings(**{**values, **changes})


@pytest.mark.parametrize("end", ["", "/", "/v1", "/v1/"])
async def test_the_base_url_may_end_as_it_likes(end: str) -> None:
    fake = FakeJambonz([application("a", call_hook="https://x/y")])
    async with (
        fake.serving(),
        JambonzAccount.connected(settings(fake, rest_url=fake.url + end)) as account,
    ):
        (found,) = await account.applications()
        assert found.name == "a"
        assert found.hooks == {"call_hook": Hook("https://x/y")}
        assert await account.webhook_secret() == "wh_secret_of_the_account"


async def test_only_hooks_that_differ_are_set_and_nothing_else() -> None:
    there = application("a", messaging_hook="https://x/sms")
    there["call_hook"] = webhook("https://x/y", method="GET", username="u", password="p")
    there["call_status_hook"] = webhook(WANTED["call_status_hook"])
    before = {**there}
    async with FakeJambonz([there]).serving() as fake:
        async with JambonzAccount.connected(settings(fake)) as account:
            plan = HooksPlan((await account.applications())[0], WANTED)
            assert list(plan.changes) == ["call_hook"]
            await account.set_hooks(plan.application, plan.changes)
            assert not HooksPlan((await account.applications())[0], WANTED).changes
        sent = fake.requests[1]
    new = {"url": WANTED["call_hook"], "method": "POST", "username": "u", "password": "p"}
    assert sent[0] == "PUT"
    assert sent[2] == {"call_hook": new}
    assert {**there, "call_hook": before["call_hook"]} == before


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"api_key": "other"}, 401, "JAMBONZ_API_KEY is not accepted"),
        ({"account_sid": "no-sid"}, 400, "JAMBONZ_ACCOUNT_SID 'no-sid'"),
        ({"account_sid": "00000000-0000-4000-8000-000000000000"}, 403, "is not for account 0000"),
        ({"account_sid": "11111111-2222-3333-4444-555555555555"}, 400, "JAMBONZ_ACCOUNT_SID '1111"),
        ({"rest_url": "{url}/portal"}, 404, "/portal/v1: there is no such account"),
    ],
)
async def test_what_was_set_wrongly_is_named(
    changes: dict[str, str], status: int, says: str
) -> None:
    async with FakeJambonz().serving() as fake:
        changed = {name: value.format(url=fake.url) for name, value in changes.items()}
        async with JambonzAccount.connected(settings(fake, **changed)) as account:
            with pytest.raises(JambonzRefused, match=says) as refused:
                await account.applications()
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("sid", "public_url", "status", "says"),
    [
        ("", "http://my_gateway:8080", 400, "hostname my_gateway: check GATEWAY_PUBLIC_URL"),
        ("00000000-0000-4000-8000-000000000000", "https://gw.example.com", 403, "no longer the"),
    ],
)
async def test_a_change_that_is_refused_is_not_laid_to_the_account(
    sid: str, public_url: str, status: int, says: str
) -> None:
    there = application("a")
    changes = HooksPlan(Application("", "a", {}), wanted_hooks(public_url)).changes
    async with (
        FakeJambonz([there]).serving() as fake,
        JambonzAccount.connected(settings(fake)) as account,
    ):
        with pytest.raises(JambonzRefused, match=says) as refused:
            await account.set_hooks(Application(sid or there["application_sid"], "a", {}), changes)
    assert refused.value.status == status
    assert "JAMBONZ_ACCOUNT_SID" not in str(refused.value)
    assert there["call_hook"] is None


async def test_the_key_goes_nowhere_else_and_into_no_error() -> None:
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
            for error, says in (
                (JambonzRefused, f"it sends us to {elsewhere.url}: set JAMBONZ_REST_API"),
                (JambonzRefused, "500 at .*bad key .key. in line"),
                (JambonzUnreachable, "something that is not JSON"),
                (JambonzUnreachable, "applications that are no list"),
                (JambonzUnreachable, "applications in a form that is not known"),
            ):
                with pytest.raises(error, match=says) as refused:
                    await account.applications()
                assert KEY not in str(refused.value)
        assert KEY not in repr(settings(fake))
    assert elsewhere.requests == []


async def test_nobody_there_is_said_with_the_address() -> None:
    dead = JambonzSettings(rest_url="http://127.0.0.1:9/v1", account_sid="a", api_key=KEY)
    async with JambonzAccount.connected(dead) as account:
        with pytest.raises(JambonzUnreachable, match=r"at http://127\.0\.0\.1:9/v1: .*BASE_URL"):
            await account.applications()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rest_url": ""}, "JAMBONZ_REST_API_BASE_URL is not set"),
        ({"account_sid": ""}, "JAMBONZ_ACCOUNT_SID is not set"),
        ({"api_key": ""}, "JAMBONZ_API_KEY is not set"),
        ({"rest_url": "jambonz.example.com"}, "of the form https://host/v1"),
        ({"rest_url": "https://u:pw@j.example.com"}, "of the form https://host/v1"),
        ({"rest_url": "https://[x"}, "of the form https://host/v1"),
        ({"api_key": "a\nb"}, "JAMBONZ_API_KEY has characters"),
        ({"account_sid": "a/../b"}, "JAMBONZ_ACCOUNT_SID has characters"),
    ],
)
async def test_settings_that_cannot_do_are_refused(changes: dict[str, str], says: str) -> None:
    values = {"rest_url": "https://j.example.com", "account_sid": "a", "api_key": "k", **changes}
    (problem,) = access_problems(JambonzSettings(**values))
    assert says in problem
    with pytest.raises(ConfigError, match="JAMBONZ_"):
        async with JambonzAccount.connected(JambonzSettings(**values)):
            pass


def app(name: str) -> Application:
    return Application(f"sid-{name}", name, {})


@pytest.mark.parametrize(
    ("there", "named", "found"),
    [
        ([app("a")], "", "a"),
        ([app("a"), app("b")], "b", "b"),
        ([app("a"), app("b")], "sid-b", "b"),
    ],
)
def test_which_application(there: list[Application], named: str, found: str) -> None:
    assert chosen(there, named).name == found


@pytest.mark.parametrize(
    ("there", "named", "says"),
    [
        ([], "", "has no application"),
        ([app("a"), app("b")], "", "which one is it"),
        ([app("a"), app("b")], "c", "'c' is none of them"),
        ([app("a"), app("a")], "a", "which one is it"),
    ],
)
def test_an_application_that_is_not_clear_is_asked_for(
    there: list[Any], named: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        chosen(there, named)
