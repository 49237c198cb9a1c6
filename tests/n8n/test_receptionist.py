"""The receptionist's tools in a real n8n: what an agent asks for, and what it is answered."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from agent.profiles.hosts import HostPolicy
from agent.profiles.loader import parse_agents
from agent.voice.lookup import look_up
from agent.voice.requests import Requests
from common.signing import Signer
from tests.agent.tools.conftest import CALL, conversation, turn
from tests.fakes.llm import Use
from tests.n8n.conftest import (
    CALLBACK_HEADER,
    RECEPTIONIST,
    RunningN8n,
    User,
    node_of,
    set_field,
)
from tests.n8n.editor import JSON, Editor

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)

COLUMNS = ["slot", "patient_name", "phone", "call_id"]
CALLER = "+15550100"
AGENTS_FILE = Path(__file__).parents[2] / "deploy" / "agents" / "receptionist.yaml"
(KEY,) = CALLBACK_HEADER.values()
#: A caller hears silence while a tool works: how long it may take, in s.
PATIENCE = aiohttp.ClientTimeout(total=2)


@dataclass(frozen=True)
class Receptionist:
    """Asks as the agent does. `table` is the path of the data table."""

    http: aiohttp.ClientSession
    url: str
    editor: Editor
    table: str

    async def ask(
        self, path: str, call_id: str = "call-1", caller: str = CALLER, **arguments: object
    ) -> JSON:
        call = {"call_id": call_id, "from_number": caller, "to_number": "+15550199"}
        body = {"name": path, "arguments": arguments, "call": call}
        async with self.http.post(
            f"{self.url}/{path}", json=body, headers=CALLBACK_HEADER, timeout=PATIENCE
        ) as got:
            assert got.status == 200, await got.text()
            answer: JSON = await got.json()
            return answer

    async def free_slots(self) -> list[str]:
        slots: list[str] = (await self.ask("free-slots"))["free_slots"]
        return slots

    async def appointments(self) -> list[tuple[str, str]]:
        """Whose, and when, as the clinic sees them in its data table."""
        rows = await self.editor.rows(self.table)
        return sorted((row["patient_name"], row["slot"]) for row in rows)


@pytest.fixture
async def receptionist(
    user: User, http: aiohttp.ClientSession, running_n8n: RunningN8n, request: pytest.FixtureRequest
) -> Receptionist:
    """The workflow, set up as its note says, with a data table of the test's own."""
    table = await user.editor.create_data_table(request.node.name[:100], COLUMNS)
    workflow = await user.set_up(RECEPTIONIST)
    set_field(node_of(workflow, "Clinic"), "appointments_table", table.rsplit("/", 1)[1])
    await user.editor.activate(workflow)
    url = f"{running_n8n.n8n.url}/webhook/receptionist"
    return Receptionist(http, url, user.editor, table)


async def test_a_booked_slot_is_not_free_any_more(receptionist: Receptionist) -> None:
    slot, *others = await receptionist.free_slots()
    answer = await receptionist.ask("book", slot=slot, patient_name="Ann Example")
    assert (answer["booked"], answer["slot"]) == (True, slot)
    assert answer["patient_name"] == "Ann Example"
    assert await receptionist.free_slots() == others
    assert await receptionist.appointments() == [("Ann Example", slot)]


async def test_a_request_that_is_repeated_books_once(receptionist: Receptionist) -> None:
    slot = (await receptionist.free_slots())[0]
    book = [receptionist.ask("book", slot=slot, patient_name=name) for name in ("Ann", "ann")]
    answers = await asyncio.gather(*book)
    assert [answer["booked"] for answer in answers] == [True, True]
    assert len(await receptionist.appointments()) == 1


async def test_one_slot_is_booked_by_one_call(receptionist: Receptionist) -> None:
    slot = (await receptionist.free_slots())[0]
    book = [
        receptionist.ask("book", call_id=f"call-{n}", slot=slot, patient_name=f"Patient {n}x")
        for n in range(5)
    ]
    answers = await asyncio.gather(*book)
    assert sorted(answer["booked"] for answer in answers) == [False] * 4 + [True]
    assert {answer.get("error") for answer in answers} == {
        None,
        "this slot has just been taken: offer another one",
    }
    assert len(await receptionist.appointments()) == 1


async def test_another_slot_in_the_same_call_moves_the_appointment(
    receptionist: Receptionist,
) -> None:
    first, second, third, *_ = await receptionist.free_slots()
    await receptionist.ask("book", slot=first, patient_name="Ann")
    await receptionist.ask("book", slot=second, patient_name="Ann's child")
    await receptionist.ask("book", slot=third, patient_name="Ann")
    assert await receptionist.appointments() == [("Ann", third), ("Ann's child", second)]


async def test_a_caller_who_cannot_get_another_slot_keeps_theirs(
    receptionist: Receptionist,
) -> None:
    first, second, *_ = await receptionist.free_slots()
    await receptionist.ask("book", slot=first, patient_name="Ann")
    await receptionist.ask("book", call_id="call-2", slot=second, patient_name="Bob")
    assert (await receptionist.ask("book", slot=second, patient_name="Ann"))["booked"] is False
    assert await receptionist.appointments() == [("Ann", first), ("Bob", second)]


@pytest.mark.parametrize(
    ("path", "arguments", "error"),
    [
        ("free-slots", {"day": "tomorrow"}, "day must be a date such as "),
        ("free-slots", {"day": "2099-01-01"}, "appointments are made for the next 28 days only"),
        ("book", {"slot": "9 o'clock", "patient_name": "Ann"}, "slot must be one that free_slots "),
        ("book", {"slot": "", "patient_name": " "}, "patient_name is missing: ask the caller "),
        ("find", {"patient_name": ""}, "patient_name is missing: ask the caller "),
        ("book", {"call_id": "", "patient_name": "Ann"}, "the request has no call_id"),
    ],
)
async def test_a_mistake_of_the_model_is_said_in_words(
    receptionist: Receptionist, path: str, arguments: JSON, error: str
) -> None:
    answer = await receptionist.ask(path, **arguments)
    assert list(answer) == ["error"]
    assert answer["error"].startswith(error)
    assert await receptionist.appointments() == []


async def test_a_caller_who_booked_before_is_known_by_name(receptionist: Receptionist) -> None:
    assert await receptionist.ask("lookup") == {"variables": {}}
    slot = (await receptionist.free_slots())[0]
    await receptionist.ask("book", slot=slot, patient_name="Ann {{x}} O'Hara")
    known = {"variables": {"patient_name": "Ann x O'Hara"}}
    assert await receptionist.ask("lookup", caller="15550100") == known
    assert await receptionist.ask("lookup", caller="+15550101") == {"variables": {}}


async def test_an_appointment_is_found_by_name_and_telephone(receptionist: Receptionist) -> None:
    slot, other, *_ = await receptionist.free_slots()
    await receptionist.ask("book", slot=slot, patient_name="Ann Example")
    await receptionist.ask("book", caller="+15550101", slot=other, patient_name="Bob Example")
    answer = await receptionist.ask("find", call_id="call-2", patient_name="ann example")
    assert [found["slot"] for found in answer["appointments"]] == [slot]
    unknown = {"error": "no appointment is known under this name and from this telephone"}
    assert await receptionist.ask("find", patient_name="Bob Example") == unknown
    assert await receptionist.ask("find", caller="anonymous", patient_name="Ann Example") == unknown


async def test_a_caller_who_withholds_their_number_is_nobody(receptionist: Receptionist) -> None:
    slot = (await receptionist.free_slots())[0]
    await receptionist.ask("book", caller="anonymous", slot=slot, patient_name="Ann")
    assert await receptionist.ask("lookup", caller="anonymous") == {"variables": {}}


async def test_a_request_without_the_header_is_refused(receptionist: Receptionist) -> None:
    async with receptionist.http.post(f"{receptionist.url}/book", json={}) as response:
        assert response.status == 403


async def test_the_shipped_agent_books_finds_and_knows_the_caller_next_time(
    receptionist: Receptionist,
) -> None:
    """What the agent's own tools send, by the shipped agents.yaml."""
    slot = (await receptionist.free_slots())[0]
    text = AGENTS_FILE.read_text() + "allowed_hosts: [127.0.0.0/8]\n"
    env = {"N8N_URL": receptionist.url.removesuffix("/webhook/receptionist"), "N8N_KEY": KEY}
    agents = parse_agents(text, env | {"FRONT_DESK": "+61491570156"})
    profile = agents.profiles["receptionist"]
    book = Use("book", {"slot": slot, "patient_name": "Ann Example"})
    find = Use("find_appointment", {"patient_name": "Ann Example"})
    replies = (
        Use("free_slots", {"day": slot[:10]}),
        "At nine?",
        book,
        "It is yours.",
        find,
        "At 9.",
    )
    async with conversation(profile.model_dump(exclude_unset=True), *replies) as voice:
        offer = await turn(voice, "I would like an appointment.")
        booking = await turn(voice, "Yes, please. Ann Example.")
        question = await turn(voice, "When was it?")
    (free,), (booked,), (found,) = outputs(offer), outputs(booking), outputs(question)
    assert json.loads(free)["free_slots"][0] == slot
    assert json.loads(booked)["booked"] is True
    assert json.loads(found)["appointments"][0]["slot"] == slot
    assert await receptionist.appointments() == [("Ann Example", slot)]
    assert profile.lookup
    requests = Requests(HostPolicy.reading(agents.allowed_hosts), Signer(()))
    answer = await look_up(profile.lookup, CALL, requests)
    assert answer
    assert answer.variables == {"patient_name": "Ann Example"}


def outputs(run: Any) -> list[str]:
    """What the model was told by the tools that it used."""
    events = (event for event in run.events if event.type == "function_call_output")
    return [event.item.output for event in events]
