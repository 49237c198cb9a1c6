"""What a receiver's response means: where a redirect leads, and a 200 that accepts nothing."""

import pytest

from gateway.callbacks.delivery import Answer
from tests.api.test_dispatch import dispatch
from tests.callbacks.conftest import deliveries, finished
from tests.callbacks.test_sender import opened
from tests.conftest import Client
from tests.fakes.receiver import Receiver

RESUME_PATH = "/webhook-waiting/231?signature=hush"
HTML = {"Content-Type": "text/html; charset=utf-8"}
EDITOR = '\n<!DOCTYPE html>\n<html lang="en"><head><title>n8n.io - Workflow Automation</title>'
#: The body of n8n 1.123.76 and 2.8.4 to a POST while they migrate their database.
STARTING_UP = "n8n is starting up. Please wait"
NOT_THE_WAIT_NODE = "answered 200 with an HTML page, which is not n8n's Wait node"
LEADS_TO = "answered 301 Moved Permanently: redirects are not followed, this one leads to"


async def answer_to(receiver: Receiver, path: str = RESUME_PATH) -> Answer:
    async with opened() as sender:
        answer: Answer = await sender.send(f"{receiver.url}{path}", "{}", "evt_1")
    return answer


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://n8n.example.com/webhook-waiting/231?signature=hush#x", "{}/webhook-waiting/231"),
        ("//n8n.example.com", "{}"),
        ("https://n8n.example.com/" + "x" * 900, "{}/" + "x" * 176),
    ],
)
async def test_it_is_said_where_a_redirect_leads(
    receiver: Receiver, location: str, target: str
) -> None:
    receiver.answer, receiver.headers = lambda _: 301, {"Location": location}
    answer = await answer_to(receiver)
    scheme = "http" if location.startswith("//") else "https"
    assert answer.error == f"{LEADS_TO} {target.format(f'{scheme}://n8n.example.com')}"
    assert (answer.status, answer.is_accepted, len(receiver.raw)) == (301, False, 1)


async def test_a_redirect_to_another_path_of_the_receiver(receiver: Receiver) -> None:
    receiver.answer, receiver.headers = lambda _: 301, {"Location": "/signin?token=hush"}
    assert (await answer_to(receiver)).error == f"{LEADS_TO} {receiver.url}/signin"


@pytest.mark.parametrize(
    "location", ["https://anna:hush@example.com/", "javascript:hush", "http://a b/", "http://[/"]
)
async def test_nothing_is_said_of_a_target_that_is_no_url(
    receiver: Receiver, location: str
) -> None:
    receiver.answer, receiver.headers = lambda _: 302, {"Location": location}
    assert (await answer_to(receiver)).error == "answered 302 Found: redirects to no usable URL"


async def test_a_location_redirects_with_its_status_only(receiver: Receiver) -> None:
    receiver.answer, receiver.headers = lambda _: 503, {"Location": "https://example.com/"}
    assert (await answer_to(receiver)).error == "answered 503 Service Unavailable"
    receiver.answer, receiver.headers = lambda _: 300, {}
    assert (await answer_to(receiver)).error == "answered 300 Multiple Choices"


@pytest.mark.parametrize(
    ("path", "text", "headers", "error"),
    [
        (RESUME_PATH, EDITOR, HTML, NOT_THE_WAIT_NODE),
        (f"/n8n{RESUME_PATH}", "<html>", {"Content-Type": "text/html"}, NOT_THE_WAIT_NODE),
        (RESUME_PATH, STARTING_UP, HTML, "answered 200, but n8n is starting up"),
        ("/webhook/calls", STARTING_UP, HTML, "answered 200, but n8n is starting up"),
        # What a Wait node may answer, and what any other receiver may.
        (RESUME_PATH, '{"message":"Workflow was started"}', {}, ""),
        (RESUME_PATH, "thank you", HTML, ""),
        (RESUME_PATH, "", HTML, ""),
        (RESUME_PATH, EDITOR, {"Content-Type": "application/json"}, ""),
        ("/webhook/calls", EDITOR, HTML, ""),
        ("/hook?to=/webhook-waiting/231", EDITOR, HTML, ""),
    ],
)
async def test_a_200_that_accepts_nothing(
    receiver: Receiver, path: str, text: str, headers: dict[str, str], error: str
) -> None:
    receiver.text, receiver.headers = text, headers
    assert await answer_to(receiver, path) == Answer(200, error)


async def test_a_callback_is_sent_again_until_n8n_has_started(
    gateway: Client, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(number: int) -> int:
        receiver.text = STARTING_UP if number < 3 else "{}"
        return 200

    receiver.answer, receiver.headers = answer, HTML
    _, dispatched = await dispatch(gateway, callback_url=f"{receiver.url}{RESUME_PATH}")
    (delivered,) = await finished(gateway, dispatched["call_id"], 1)
    assert (delivered["status"], delivered["attempts"]) == ("delivered", 3)
    (warning,) = [it for it in capsys.readouterr().out.splitlines() if "callback.retrying" in it]
    assert "n8n is starting up" in warning


async def test_a_redirect_is_in_the_delivery_and_in_the_log(
    gateway: Client, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.answer = lambda number: 308 if number < 2 else 410
    receiver.headers = {"Location": "https://n8n.example.com/webhook-waiting/231?signature=hush"}
    _, dispatched = await dispatch(gateway, callback_url=f"{receiver.url}{RESUME_PATH}")
    await finished(gateway, dispatched["call_id"], 1)
    output = capsys.readouterr().out
    (warning,) = [line for line in output.splitlines() if "callback.retrying" in line]
    assert "this one leads to https://n8n.example.com/webhook-waiting/231" in warning
    assert "hush" not in output
    receiver.answer = lambda _: 308
    _, dispatched = await dispatch(gateway, callback_url=f"{receiver.url}{RESUME_PATH}")
    await receiver.received(4)
    (shown,) = await deliveries(gateway, dispatched["call_id"])
    assert shown["last_status"] == 308
    assert shown["last_error"].endswith("leads to https://n8n.example.com/webhook-waiting/231")
