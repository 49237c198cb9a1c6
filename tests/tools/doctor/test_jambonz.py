"""The checks of Jambonz: account, application's hooks, webhook secret, by its REST API."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from gateway.config.settings import Config
from gateway.explanation.status import Status
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.jambonz import secret, socket
from gateway.tools.doctor.run import all_checks
from tests.conftest import WEBHOOK_SECRET, ConfigMaker, GatewayStarter
from tests.fakes.jambonz_rest import (
    KEY,
    FakeJambonz,
    application,
    carrier,
    sip_gateway,
    speech_credential,
    webhook,
)
from tests.fakes.jambonz_socket import ENV
from tests.tools.doctor.conftest import run_check

URL = "https://gw.example.com"
CALL_HOOK = f"{URL}/livekit-api#rc=5&rp=ct,5xx"
STATUS_HOOK = f"{URL}/livekit-api/call-status"


@pytest.fixture
async def jambonz() -> AsyncIterator[FakeJambonz]:
    good = application("calls", call_hook=CALL_HOOK, call_status_hook=STATUS_HOOK)
    async with FakeJambonz([good]).serving() as fake:
        yield fake


def config_for(jambonz: FakeJambonz, make_config: ConfigMaker, **changes: str) -> Config:
    return make_config({"GATEWAY_PUBLIC_URL": URL, **jambonz.env, **changes})


async def test_jambonz_is_not_configured(make_config: ConfigMaker) -> None:
    finding = await run_check(make_config(), "jambonz")
    assert finding.status is Status.SKIP
    assert "JAMBONZ_API_KEY" in finding.next


async def test_every_check_succeeds(jambonz: FakeJambonz, make_config: ConfigMaker) -> None:
    jambonz.webhook_secret = WEBHOOK_SECRET
    for check in ("jambonz", "jambonz_hooks", "jambonz_secret"):
        finding = await run_check(config_for(jambonz, make_config), check)
        assert finding.status is Status.OK, finding


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"JAMBONZ_API_KEY": "wrong"}, "JAMBONZ_API_KEY is not accepted"),
        ({"JAMBONZ_API_KEY": ""}, "JAMBONZ_API_KEY is not set"),
        ({"JAMBONZ_ACCOUNT_SID": "11111111-2222-4333-8444-555555555555"}, "not for account"),
        ({"JAMBONZ_REST_API_BASE_URL": "http://jambonz.invalid/v1"}, "cannot be reached"),
        ({"GATEWAY__JAMBONZ__APPLICATION": "another"}, "there is no 'another'"),
    ],
)
async def test_an_account_that_cannot_be_read(
    changes: dict[str, str], message: str, jambonz: FakeJambonz, make_config: ConfigMaker
) -> None:
    finding = await run_check(config_for(jambonz, make_config, **changes), "jambonz")
    assert finding.status is Status.FAIL
    assert message in finding.message
    assert KEY not in finding.message


@pytest.mark.parametrize(
    ("call_hook", "status", "message"),
    [
        (None, Status.FAIL, "call_hook is not set"),
        (webhook(f"{URL}/livekit-simple"), Status.FAIL, "/livekit-simple, the legacy route"),
        (
            webhook("https://u:hidden@other.example.com/livekit-api?key=hidden"),
            Status.FAIL,
            "call_hook leads to https://other.example.com/livekit-api",
        ),
        (webhook(CALL_HOOK, method="GET"), Status.FAIL, "sent by GET"),
        (webhook(f"{URL}/livekit-api"), Status.WARN, "does not repeat it"),
        (
            webhook(f"{URL}/livekit-api#rc=3&rp=ct,5xx"),
            *(Status.WARN, "as #rc=3&rp=ct,5xx says: with #rc=5&rp=ct,5xx it outlasts a restart"),
        ),
    ],
)
async def test_a_wrong_hook(
    call_hook: dict[str, str] | None,
    status: Status,
    message: str,
    jambonz: FakeJambonz,
    make_config: ConfigMaker,
) -> None:
    jambonz.applications[0]["call_hook"] = call_hook
    finding = await run_check(config_for(jambonz, make_config), "jambonz_hooks")
    assert finding.status is status
    assert message in finding.message
    assert "hidden" not in finding.message
    assert finding.next == "python -m gateway setup --jambonz --apply"


async def test_hooks_without_a_public_url(jambonz: FakeJambonz, make_config: ConfigMaker) -> None:
    finding = await run_check(
        config_for(jambonz, make_config, GATEWAY_PUBLIC_URL=""), "jambonz_hooks"
    )
    assert finding.status is Status.FAIL
    assert "GATEWAY_PUBLIC_URL" in finding.next


async def test_an_account_that_signs_with_another_secret(
    jambonz: FakeJambonz, make_config: ConfigMaker
) -> None:
    finding = await run_check(config_for(jambonz, make_config), "jambonz_secret")
    assert finding.status is Status.FAIL
    assert "each hook is answered with 401" in finding.message
    assert jambonz.webhook_secret not in finding.message + finding.next


async def test_an_account_that_does_not_return_its_secret(
    jambonz: FakeJambonz, make_config: ConfigMaker
) -> None:
    jambonz.failures.append(web.json_response({"msg": "insufficient privileges"}, status=403))
    finding = await run_check(config_for(jambonz, make_config), "jambonz_secret")
    assert finding.status is Status.SKIP


@pytest.mark.parametrize(
    ("account_secret", "configured", "status"),
    [
        ("a", ("b", "a"), Status.OK),
        ("a", ("b",), Status.FAIL),
        ("a", (), Status.WARN),
        ("", ("b",), Status.FAIL),
    ],
)
def test_secrets(account_secret: str, configured: tuple[str, ...], status: Status) -> None:
    assert secret(account_secret, configured).status is status


@pytest.mark.field("J9")
@pytest.mark.parametrize(
    ("address", "assigned", "message"),
    [
        ("127.0.0.1", True, "(127.0.0.1) get the application 'calls'"),
        ("127.0.0.1", False, "'livekit', does not have the application 'calls'"),
        ("192.0.2.1", True, "no carrier of the account lists LiveKit's 127.0.0.1"),
    ],
    ids=["right", "no application", "other address"],
)
async def test_the_carrier_for_livekits_calls(
    jambonz: FakeJambonz, make_config: ConfigMaker, *, address: str, assigned: bool, message: str
) -> None:
    sid = jambonz.applications[0]["application_sid"] if assigned else ""
    livekit = carrier("livekit", sid)
    jambonz.carriers = [livekit]
    jambonz.gateways = {livekit["voip_carrier_sid"]: [sip_gateway(address)]}
    participant = {
        "GATEWAY__INBOUND__STRATEGY": "participant",
        "LIVEKIT_SIP_HOST": "127.0.0.1:5060",
    }
    finding = await run_check(config_for(jambonz, make_config, **participant), "jambonz_carrier")
    assert message in finding.message
    is_right = address == "127.0.0.1" and assigned
    assert finding.status is (Status.OK if is_right else Status.FAIL)
    assert ("assign the gateway's application" in finding.next) is not is_right


@pytest.mark.field("J9")
async def test_without_the_rest_api_the_carrier_is_named(make_config: ConfigMaker) -> None:
    finding = await run_check(make_config(inbound={"strategy": "participant"}), "jambonz")
    assert "as inbound SIP gateways of a carrier" in finding.next


@pytest.mark.field("J6")
@pytest.mark.parametrize(
    ("vendors", "status"), [(["google"], Status.OK), (["azure"], Status.FAIL), ([], Status.FAIL)]
)
async def test_a_fallback_that_is_said_needs_a_speech_credential(
    vendors: list[str], status: Status, jambonz: FakeJambonz, make_config: ConfigMaker
) -> None:
    jambonz.speech = [speech_credential(vendor) for vendor in vendors]
    said = {"GATEWAY__INBOUND__FALLBACK": "[{say: Please call again later.}]"}
    finding = await run_check(config_for(jambonz, make_config, **said), "jambonz_speech")
    assert finding.status is status
    assert "hidden" not in finding.message
    if status is Status.FAIL:
        assert "a credential of google for text-to-speech" in finding.next
        assert "{play: 'https://…'}" in finding.next


async def test_speech_and_carrier_are_checked_where_they_are_needed(
    jambonz: FakeJambonz, make_config: ConfigMaker
) -> None:
    async with Context.opened(config_for(jambonz, make_config), {}, URL) as context:
        ids = {check.id for check in all_checks(context)}
    assert not ids & {"jambonz_carrier", "jambonz_speech"}


@pytest.mark.field("J10")
@pytest.mark.parametrize(
    ("password", "status", "message"),
    [
        ("socket-password", Status.OK, "the WebSocket of call_hook opens"),
        ("wrong", Status.FAIL, "refuses the user name and password of call_hook (401)"),
    ],
)
async def test_a_call_hook_that_is_a_websocket_is_opened(
    start_gateway: GatewayStarter,
    jambonz: FakeJambonz,
    make_config: ConfigMaker,
    *,
    password: str,
    status: Status,
    message: str,
) -> None:
    gateway = await start_gateway(ENV)
    url = str(gateway.make_url("")).rstrip("/")
    hook = f"ws{url.removeprefix('http')}/livekit-api"
    jambonz.applications[0]["call_hook"] = webhook(hook, username="jambonz", password=password)
    jambonz.applications[0]["call_status_hook"] = webhook(hook)
    config = config_for(jambonz, make_config, GATEWAY_PUBLIC_URL=url)
    finding = await run_check(config, "jambonz_hooks")
    assert (finding.status, message in finding.message) == (status, True), finding
    assert password not in finding.message


@pytest.mark.field("J10")
@pytest.mark.parametrize(
    ("status", "judged", "step"),
    [(101, Status.OK, ""), (403, Status.OK, ""), (405, Status.FAIL, "Upgrade and Connection")],
)
def test_answers_to_an_upgrade(status: int, judged: Status, step: str) -> None:
    finding = socket(status)
    assert finding.status is judged
    assert step in finding.next
