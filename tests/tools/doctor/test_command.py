"""The command `doctor`, against real servers."""

import json

import aiohttp
import pytest

from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import READ_KEY, WEBHOOK_SECRET
from tests.fakes.jambonz_rest import KEY, FakeJambonz, application
from tests.ports import free_port
from tests.tools.doctor.conftest import Stack, run_gateway

HOOKS = {
    "call_hook": "/livekit-api#rc=5&rp=ct,5xx",
    "call_status_hook": "/livekit-api/call-status",
}


@pytest.mark.server
async def test_every_check_succeeds(stack: Stack) -> None:
    url = stack.env["GATEWAY_PUBLIC_URL"]
    hooks = {name: url + path for name, path in HOOKS.items()}
    jambonz = FakeJambonz([application("calls", **hooks)], webhook_secret=WEBHOOK_SECRET)
    async with jambonz.serving():
        status, output = await run_gateway(["doctor", "--json"], {**stack.env, **jambonz.env})
    content = json.loads(output)
    assert [(c["id"], c["message"]) for c in content["checks"] if c["status"] != "ok"] == []
    assert (status, content["status"]) == (0, "ok")
    assert len(content["checks"]) == 26


@pytest.mark.server
async def test_the_output_contains_no_secrets(stack: Stack) -> None:
    wrong = "another-secret-of-at-least-thirty-two-bytes"
    env = {**stack.env, "LIVEKIT_API_SECRET": wrong}
    status, output = await run_gateway(["doctor"], env)
    assert status == 2
    assert "fail  LiveKit key" in output
    assert "skip  worker             not checked, because of LiveKit key" in output
    assert output.splitlines()[-1].startswith("1 fail, ")
    assert max(map(len, output.splitlines())) <= 100
    secrets = (wrong, READ_KEY, WEBHOOK_SECRET, KEY, stack.env["LIVEKIT_API_SECRET"])
    assert not [secret for secret in secrets if secret in output]


@pytest.mark.server
async def test_an_unusable_configuration_is_the_only_result(stack: Stack) -> None:
    status, output = await run_gateway(
        ["doctor", "--json"], {**stack.env, "GATEWAY__INBOUND__RINGING_TIMEOUT": "never"}
    )
    [check] = json.loads(output)["checks"]
    assert (status, check["id"], check["status"]) == (2, "configuration", "fail")
    assert "inbound.ringing_timeout" in check["message"]
    status, output = await run_gateway(["doctor"], {**stack.env, "LIVEKIT_URL": ""})
    assert status == 2
    assert "LIVEKIT_URL is not set" in output


@pytest.mark.server
async def test_a_call_is_explained(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        url = stack.real.url
        jambonz = Jambonz(session, url, WEBHOOK_SECRET, "+15550123", "+15550199")
        [dial] = await jambonz.call_arrives()
        call_id = str(dial["target"][0]["sipUri"]).partition("@")[0].removeprefix("sip:")
        await jambonz.status("no-answer", 487)
    status, output = await run_gateway(["doctor", "--call", call_id, "--json"], stack.env)
    content = json.loads(output)
    assert (status, content["status"], content["call_id"]) == (1, "warn", call_id)
    assert "not_connected (user_hangup)" in content["headline"]
    assert content["timeline"][0]["text"] == "the call is registered: Jambonz posted its call hook"
    assert content["cause"].startswith("the caller hung up after 0 s")


@pytest.mark.server
async def test_an_unknown_call(stack: Stack) -> None:
    status, output = await run_gateway(["doctor", "--call", "call-unknown"], stack.env)
    assert status == 2
    assert "cause   ended calls are kept for" in output
    unreachable = {**stack.env, "GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{free_port()}"}
    status, output = await run_gateway(["doctor", "--call", "call-unknown"], unreachable)
    assert status == 2
    assert "python -m gateway serve" in output
