"""The history by the API: a call that is in it only, export, deletion, audit, health."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.api.services import SERVICES
from tests.conftest import (
    ADMIN_KEY,
    DISPATCH_KEY,
    READ_KEY,
    Client,
    GatewayStarter,
    get_call,
    jambonz_for,
    list_calls,
)

ADMIN = {"X-API-Key": ADMIN_KEY}
READ = {"X-API-Key": READ_KEY}
DISPATCH = {"X-API-Key": DISPATCH_KEY}


@pytest.fixture
async def kept(start_gateway: GatewayStarter, tmp_path: Path) -> Client:
    """A gateway with a history, which forgets ended calls at once beyond it."""
    url = f"sqlite:///{tmp_path}/history.db"
    return await start_gateway(
        history={"url": url}, storage={"ended_ttl": 0}, callbacks={"report_timeout": 0}
    )


async def end_call(gateway: Client, from_number: str = "+15550100") -> str:
    """A call that was hung up by n8n; returns its id."""
    await jambonz_for(gateway, from_number=from_number).call_arrives()
    call_id: str = (await list_calls(gateway))["calls"][0]["call_id"]
    async with gateway.post(f"/livekit-api/calls/{call_id}/hangup", headers=DISPATCH) as response:
        assert response.status == 200
    return call_id


async def save(gateway: Client) -> None:
    """As the writer does a while after a call's end; the registry forgets the calls then."""
    services = gateway.app[SERVICES]
    assert services.history
    while await services.storage.unsaved.waiting(1):
        await services.history.step(settled_only=False)
        await services.deadline_loop.tick()
    await services.deadline_loop.tick()


async def test_a_call_is_found_after_the_registry_has_forgotten_it(kept: Client) -> None:
    call_id = await end_call(kept)
    before = await get_call(kept, call_id)
    await save(kept)
    assert await kept.app[SERVICES].storage.registry.get(call_id) is None
    after = await get_call(kept, call_id)
    assert after["timeline"][: len(before["timeline"])] == before["timeline"]
    for query in ("?include=ended", "?q=5550100&include=ended", "?status=not_connected"):
        (call,) = (await list_calls(kept, query))["calls"]
        assert call["call_id"] == call_id
    assert (await list_calls(kept))["calls"] == []
    async with kept.post(f"/livekit-api/calls/{call_id}/hangup", headers=DISPATCH) as response:
        assert (response.status, (await response.json())["call_id"]) == (200, call_id)


async def test_exports(kept: Client) -> None:
    for number in range(3):
        await end_call(kept, f"+1555010{number}")
    await save(kept)
    await jambonz_for(kept, from_number="=HYPERLINK(1)").call_arrives()
    async with kept.get("/livekit-api/export.jsonl", headers=READ) as response:
        assert response.content_type == "application/x-ndjson"
        calls = [json.loads(line) for line in (await response.text()).splitlines()]
    assert len(calls) == 4
    assert all("timeline" in call for call in calls)
    async with kept.get("/livekit-api/export.csv?q=5550102", headers=READ) as response:
        assert response.content_type == "text/csv"
        assert "attachment" in response.headers["Content-Disposition"]
        (row,) = csv.DictReader(io.StringIO(await response.text()))
    assert row["from_number"] == "+15550102"
    assert row["disconnection_reason"] == "manual_stopped"
    assert row["ended_at"].endswith("Z")


async def test_a_caller_is_deleted_by_admins_only(kept: Client) -> None:
    await end_call(kept, "+61491570156")
    await end_call(kept)
    await save(kept)
    path, body = "/livekit-api/callers/delete", {"number": "+61 491 570 156"}
    async with kept.post(path, json=body, headers=DISPATCH) as response:
        assert (response.status, (await response.json())["error"]) == (403, "forbidden")
    async with kept.post(path, json={}, headers=ADMIN) as response:
        assert (response.status, list((await response.json())["details"])) == (422, ["number"])
    async with kept.post(path, json=body, headers=ADMIN) as response:
        assert await response.json() == {"deleted": 1, "active": 0}
    assert len((await list_calls(kept, "?include=ended"))["calls"]) == 1


async def test_the_audit_is_read_by_admins_only(kept: Client) -> None:
    call_id = await end_call(kept)
    await save(kept)
    async with kept.get("/livekit-api/export.csv?q=15550100", headers=READ):
        pass
    async with kept.post(
        "/livekit-api/callers/delete", json={"number": "+15550100"}, headers=ADMIN
    ):
        pass
    await kept.app[SERVICES].audit.save()
    async with kept.get("/livekit-api/audit", headers=READ) as response:
        assert response.status == 403
    async with kept.get("/livekit-api/audit", headers=ADMIN) as response:
        audit = await response.json()
    assert [(it["client"], it["action"], it["call_id"]) for it in audit["entries"]] == [
        ("boss", "delete", ""),
        ("ops", "export", ""),
        ("n8n", "hang_up", call_id),
    ]
    assert "15550100" not in str(audit)


async def test_a_history_away_costs_no_call_and_is_said(
    start_gateway: GatewayStarter, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("no folder")
    gateway = await start_gateway(history={"url": f"sqlite:///{tmp_path}/data/history.db"})
    call_id = await end_call(gateway)
    listing = await list_calls(gateway, "?include=ended")
    assert [call["call_id"] for call in listing["calls"]] == [call_id]
    assert listing["is_complete"] is False
    async with gateway.get("/readyz") as response:
        assert response.status == 200
    async with gateway.get("/livekit-api/calls/call-x", headers=READ) as response:
        assert (response.status, (await response.json())["error"]) == (503, "storage_unavailable")
    async with gateway.get("/livekit-api/export.csv", headers=READ) as response:
        assert response.status == 503
    status = await until_told(gateway)
    assert status["problem"].startswith("history: FileExistsError")
    assert (status["waiting"], status["lost"]) == (1, 0)


async def until_told(gateway: Client) -> Any:
    """The history's state, once its writer has tried."""
    async with asyncio.timeout(10):
        while True:
            async with gateway.get("/livekit-api/diagnostics", headers=READ) as response:
                status = (await response.json())["history"]
            if status["waiting"]:
                return status
            await asyncio.sleep(0.05)


async def test_without_a_history_it_is_off(gateway: Client) -> None:
    async with gateway.get("/livekit-api/diagnostics", headers=READ) as response:
        assert (await response.json())["history"]["state"] == "off"
    async with gateway.get("/livekit-api/audit", headers=ADMIN) as response:
        assert await response.json() == {"entries": [], "next_before": None}
