"""Who did what: kept as soon as the history takes it, in the log in any case."""

import pytest
from structlog.testing import capture_logs

from gateway.history import audit as audit_module
from gateway.history.audit import Action, Audit, AuditEntry
from tests.history.conftest import Gateway


async def details(audit: Audit) -> list[str]:
    """Of all pages."""
    found: list[str] = []
    before: int | None = None
    while True:
        entries, before = await audit.page(limit=2, before=before)
        assert len(entries) <= 2
        found += [entry.detail for entry in entries]
        if before is None:
            return found


async def test_entries_come_back_newest_first(gateway: Gateway) -> None:
    for number in range(5):
        gateway.audit.record(Action.RETRY, client="n8n", call_id="call-1", detail=str(number))
    await gateway.save()
    assert await details(gateway.audit) == ["4", "3", "2", "1", "0"]
    (newest, *_), _ = await gateway.audit.page(limit=1, before=None)
    assert newest == AuditEntry(newest.at, "n8n", Action.RETRY, "call-1", "4")


async def test_numbers_are_masked(gateway: Gateway) -> None:
    gateway.audit.record(Action.TRANSFER, client="n8n", detail="to +61491570156")
    await gateway.save()
    assert await details(gateway.audit) == ["to [number]"]


async def test_entries_wait_while_the_history_is_away(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_module, "MAX_WAITING", 3)
    monkeypatch.setattr(gateway.database, "prepare", gateway.database.check_ready)
    gateway.database.is_ready = False
    with capture_logs() as lines:
        for number in range(5):
            gateway.audit.record(Action.HANG_UP, client="ops", detail=str(number))
            await gateway.writer.step()
    assert gateway.writer.status.audit_lost == 2
    assert [line["detail"] for line in lines if line["event"] == "audit.recorded"] == list("01234")
    gateway.database.is_ready = True
    await gateway.save()
    assert await details(gateway.audit) == ["4", "3", "2"]


async def test_without_a_history_entries_are_logged() -> None:
    audit = Audit(None, lambda: 1)
    with capture_logs() as lines:
        audit.record(Action.SIGN_IN, client="ops")
    await audit.save()
    assert await audit.page(limit=5, before=None) == ([], None)
    assert lines[0]["event"] == "audit.recorded"
