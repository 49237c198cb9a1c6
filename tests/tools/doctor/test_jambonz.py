"""Jambonz by its REST API: the account, the application's hooks, the webhook secret."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.config.settings import Config
from gateway.tools.doctor.check import Status
from gateway.tools.doctor.jambonz import secret
from tests.conftest import WEBHOOK_SECRET, ConfigMaker
from tests.fakes.jambonz_rest import KEY, FakeJambonz, application, webhook
from tests.tools.doctor.conftest import look

URL = "https://gw.example.com"
CALL_HOOK = f"{URL}/livekit-api#rc=3&rp=ct,5xx"
STATUS_HOOK = f"{URL}/livekit-api/call-status"


@pytest.fixture
async def jambonz() -> AsyncIterator[FakeJambonz]:
    good = application("calls", call_hook=CALL_HOOK, call_status_hook=STATUS_HOOK)
    async with FakeJambonz([good]).serving() as fake:
        yield fake


def towards(jambonz: FakeJambonz, make_config: ConfigMaker, **changed: str) -> Config:
    return make_config({"GATEWAY_PUBLIC_URL": URL, **jambonz.env, **changed})


async def test_nothing_is_configured(make_config: ConfigMaker) -> None:
    told = await look(make_config(), "jambonz")
    assert told.status is Status.SKIP
    assert "JAMBONZ_API_KEY" in told.next


async def test_all_is_as_it_should_be(jambonz: FakeJambonz, make_config: ConfigMaker) -> None:
    jambonz.webhook_secret = WEBHOOK_SECRET
    for check in ("jambonz", "jambonz_hooks", "jambonz_secret"):
        told = await look(towards(jambonz, make_config), check)
        assert told.status is Status.OK, told


@pytest.mark.parametrize(
    ("changed", "saw"),
    [
        ({"JAMBONZ_API_KEY": "wrong"}, "JAMBONZ_API_KEY is not accepted"),
        ({"JAMBONZ_API_KEY": ""}, "JAMBONZ_API_KEY is not set"),
        ({"JAMBONZ_ACCOUNT_SID": "11111111-2222-4333-8444-555555555555"}, "not for account"),
        ({"JAMBONZ_REST_API_BASE_URL": "http://jambonz.invalid/v1"}, "cannot be reached"),
        ({"GATEWAY__JAMBONZ__APPLICATION": "another"}, "'another' is none of them"),
    ],
)
async def test_an_account_that_cannot_be_asked(
    changed: dict[str, str], saw: str, jambonz: FakeJambonz, make_config: ConfigMaker
) -> None:
    told = await look(towards(jambonz, make_config, **changed), "jambonz")
    assert told.status is Status.FAIL
    assert saw in told.saw
    assert KEY not in told.saw


@pytest.mark.parametrize(
    ("call_hook", "status", "saw"),
    [
        (None, Status.FAIL, "call_hook is not set"),
        (webhook(f"{URL}/livekit-simple"), Status.FAIL, "/livekit-simple, the old route"),
        (
            webhook("https://u:hidden@other.example.com/livekit-api?key=hidden"),
            Status.FAIL,
            "call_hook leads to https://other.example.com/livekit-api",
        ),
        (webhook(CALL_HOOK, method="GET"), Status.FAIL, "sent by GET"),
        (webhook(f"{URL}/livekit-api"), Status.WARN, "does not repeat it"),
    ],
)
async def test_a_hook_that_is_not_as_it_should_be(
    call_hook: dict[str, str] | None,
    status: Status,
    saw: str,
    jambonz: FakeJambonz,
    make_config: ConfigMaker,
) -> None:
    jambonz.applications[0]["call_hook"] = call_hook
    told = await look(towards(jambonz, make_config), "jambonz_hooks")
    assert told.status is status
    assert saw in told.saw
    assert "hidden" not in told.saw
    assert told.next == "python -m gateway setup --jambonz --apply"


async def test_hooks_that_nobody_can_judge(jambonz: FakeJambonz, make_config: ConfigMaker) -> None:
    told = await look(towards(jambonz, make_config, GATEWAY_PUBLIC_URL=""), "jambonz_hooks")
    assert told.status is Status.FAIL
    assert "GATEWAY_PUBLIC_URL" in told.next


async def test_an_account_that_signs_with_another_secret(
    jambonz: FakeJambonz, make_config: ConfigMaker
) -> None:
    told = await look(towards(jambonz, make_config), "jambonz_secret")
    assert told.status is Status.FAIL
    assert "each hook is 401" in told.saw
    assert jambonz.webhook_secret not in told.saw + told.next


async def test_an_account_that_does_not_tell_its_secret(
    jambonz: FakeJambonz, make_config: ConfigMaker
) -> None:
    jambonz.failures.append(web.json_response({"msg": "insufficient privileges"}, status=403))
    told = await look(towards(jambonz, make_config), "jambonz_secret")
    assert told.status is Status.SKIP


@pytest.mark.parametrize(
    ("theirs", "ours", "status"),
    [
        ("a", ("b", "a"), Status.OK),
        ("a", ("b",), Status.FAIL),
        ("a", (), Status.WARN),
        ("", ("b",), Status.FAIL),
    ],
)
def test_secrets(theirs: str, ours: tuple[str, ...], status: Status) -> None:
    assert secret(theirs, ours).status is status
