"""The command as its user runs it, against real parts."""

import json

import aiohttp

from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import READ_KEY, WEBHOOK_SECRET
from tests.fakes.jambonz_rest import KEY, FakeJambonz, application
from tests.ports import free_port
from tests.tools.doctor.conftest import Stack, run_gateway

HOOKS = {
    "call_hook": "/livekit-api#rc=3&rp=ct,5xx",
    "call_status_hook": "/livekit-api/call-status",
}


async def test_all_is_well(stack: Stack) -> None:
    url = stack.env["GATEWAY_PUBLIC_URL"]
    hooks = {name: url + path for name, path in HOOKS.items()}
    jambonz = FakeJambonz([application("calls", **hooks)], webhook_secret=WEBHOOK_SECRET)
    async with jambonz.serving():
        status, output = await run_gateway(["doctor", "--json"], {**stack.env, **jambonz.env})
    told = json.loads(output)
    assert [(c["id"], c["saw"]) for c in told["checks"] if c["status"] != "ok"] == []
    assert (status, told["status"]) == (0, "ok")
    assert len(told["checks"]) == 22


async def test_what_is_wrong_is_said_without_secrets(stack: Stack) -> None:
    wrong = "another-secret-of-at-least-thirty-two-bytes"
    env = {**stack.env, "LIVEKIT_API_SECRET": wrong}
    status, output = await run_gateway(["doctor"], env)
    assert status == 2
    assert "fail  LiveKit key" in output
    assert "skip  worker             not tried: LiveKit key comes first" in output
    assert output.splitlines()[-1].startswith("1 fail, ")
    assert max(map(len, output.splitlines())) <= 100
    secrets = (wrong, READ_KEY, WEBHOOK_SECRET, KEY, stack.env["LIVEKIT_API_SECRET"])
    assert not [secret for secret in secrets if secret in output]


async def test_a_configuration_that_cannot_be_used_is_all_there_is_to_say(stack: Stack) -> None:
    status, output = await run_gateway(
        ["doctor", "--json"], {**stack.env, "GATEWAY__INBOUND__RINGING_TIMEOUT": "never"}
    )
    [check] = json.loads(output)["checks"]
    assert (status, check["id"], check["status"]) == (2, "configuration", "fail")
    assert "inbound.ringing_timeout" in check["saw"]
    status, output = await run_gateway(["doctor"], {**stack.env, "LIVEKIT_URL": ""})
    assert status == 2
    assert "LIVEKIT_URL is not set" in output


async def test_one_call_is_explained(stack: Stack) -> None:
    async with aiohttp.ClientSession() as session:
        url = stack.real.url
        jambonz = Jambonz(session, url, WEBHOOK_SECRET, "+15550123", "+15550199")
        [dial] = await jambonz.call_arrives()
        call_id = str(dial["target"][0]["sipUri"]).partition("@")[0].removeprefix("sip:")
        await jambonz.status("no-answer", 487)
    status, output = await run_gateway(["doctor", "--call", call_id, "--json"], stack.env)
    told = json.loads(output)
    assert (status, told["status"], told["call_id"]) == (1, "warn", call_id)
    assert "not_connected (user_hangup)" in told["headline"]
    assert told["happened"][0]["what"] == "the call is registered: Jambonz posted its call hook"
    assert told["cause"].startswith("the caller hung up after 0 s")


async def test_a_call_that_is_not_there(stack: Stack) -> None:
    status, output = await run_gateway(["doctor", "--call", "call-nobody-made"], stack.env)
    assert status == 2
    assert "kept for 3600 s (storage.ended_ttl)" in output
    gone = {**stack.env, "GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{free_port()}"}
    status, output = await run_gateway(["doctor", "--call", "call-nobody-made"], gone)
    assert status == 2
    assert "python -m gateway serve" in output
