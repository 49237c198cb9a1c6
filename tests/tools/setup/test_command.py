"""`setup` against a real livekit-server with Redis: plan, apply, prune, restore."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.config.settings import Config
from gateway.errors import LiveKitError, LiveKitRefused, LiveKitUnreachable
from gateway.livekit.trunks import Kind, SipItem, Trunks, mark
from gateway.tools.setup.apply import ApplyFailed
from gateway.tools.setup.backup import BackupError, read_backup
from gateway.tools.setup.command import Options, Setup, set_up
from gateway.tools.setup.conflicts import CALLED_USER, probe_invites
from gateway.tools.setup.routing import Invite, route
from tests.fakes.jambonz_rest import FakeJambonz, application
from tests.tools.setup.conftest import SBC, ConfigMaker, inbound, per_caller

FROM_JAMBONZ = Invite("+15550100", CALLED_USER, SBC)
NOTHING = "Nothing to do"


@pytest.fixture(autouse=True)
def _temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backups are written to the current folder."""
    monkeypatch.chdir(tmp_path)


async def setup(config: Config, **options: Any) -> str:
    """Run setup; returns its output."""
    lines: list[str] = []
    await set_up(config, Options(**options), lines.append)
    return "\n".join(lines)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def rows(output: str) -> list[str]:
    """The actions and kinds in the table."""
    actions = ("create ", "update ", "delete ", "unchanged ", "conflict ")
    return [line[:26].rstrip() for line in output.splitlines() if line.startswith(actions)]


async def test_an_empty_livekit_is_set_up_once(config_for: ConfigMaker, trunks: Trunks) -> None:
    config = config_for()
    output = await setup(config)
    assert rows(output) == ["create      inbound trunk", "create      dispatch rule"]
    assert "python -m gateway setup --apply" in output
    assert await trunks.listed() == []

    assert "created  inbound trunk ST_" in await setup(config, apply=True)
    items = await trunks.listed()
    taken = route(FROM_JAMBONZ, items)
    assert (taken.room, taken.problem) == (CALLED_USER, "")
    assert {item.is_ours for item in items} == {True}
    assert items[0].fields["headers_to_attributes"] == {
        "X-Call-Id": "call_id",
        "X-Account-Code": "account_code",
    }

    assert NOTHING in await setup(config)
    assert NOTHING in await setup(config, apply=True)
    assert await trunks.listed() == items


async def test_an_foreign_items_is_explained_then_pruned_then_brought_back(
    config_for: ConfigMaker, trunks: Trunks, foreign_items: list[SipItem], tmp_path: Path
) -> None:
    config = config_for()
    output = await setup(config)
    assert sorted(row for row in rows(output) if "conflict" in row) == [
        "conflict    dispatch rule",
        "conflict    inbound trunk",
        "conflict    inbound trunk",
    ]
    assert "random part" in " ".join(output.split())
    assert "setup --prune --apply" in output

    with pytest.raises(ApplyFailed, match="nothing was changed"):
        await setup(config, apply=True)
    assert await trunks.listed() == foreign_items

    await setup(config, prune=True)
    assert await trunks.listed() == foreign_items
    assert files(tmp_path) == []

    await setup(config, prune=True, apply=True)
    items = await trunks.listed()
    for invite in probe_invites([SBC], foreign_items):
        taken = route(invite, items)
        assert (taken.room, taken.problem) == (CALLED_USER, "")
    names = [item.name for item in items if not item.is_ours]
    assert sorted(names) == ["carrier", "everything else", "main", "main number", "more", "shared"]
    assert NOTHING in await setup(config)

    (backup,) = files(tmp_path)
    assert backup.stat().st_mode & 0o777 == 0o600
    assert {item.name for item in read_backup(backup).items} == {"any number", "boss", "catch"}
    output = await setup(config, restore=backup)
    assert "not in the backup" in output
    assert await trunks.listed() == items

    await setup(config, restore=backup, apply=True)
    restored = await trunks.listed()
    assert readable(restored) == readable(foreign_items)
    assert NOTHING in await setup(config, restore=backup, apply=True)
    assert await trunks.listed() == restored
    assert "conflict" in await setup(config)


def readable(items: list[SipItem]) -> list[Any]:
    """The items without their ids, which change; trunks are named instead."""
    names = {item.id: item.name for item in items}
    return sorted(
        (
            str(item.kind),
            item.name,
            {**item.fields, "trunk_ids": [names[i] for i in item.fields.get("trunk_ids", [])]},
        )
        for item in items
    )


async def test_only_fields_of_changed_settings_are_updated(
    config_for: ConfigMaker, trunks: Trunks
) -> None:
    await setup(config_for(), apply=True)
    first, rule = await trunks.listed()
    own = {"krisp_enabled": True, "name": "renamed"}
    headers = {**first.fields["headers_to_attributes"], "X-Mine": "mine"}
    await trunks.replace(
        SipItem(first.kind, first.id, {**first.fields, **own, "headers_to_attributes": headers})
    )
    assert NOTHING in await setup(config_for())

    env = {"SIP_INBOUND_USERNAME": "jambonz", "SIP_INBOUND_PASSWORD": "new-secret"}
    changed = config_for(env, trunks={"inbound_addresses": [SBC, "198.51.100.0/24"]})
    output = await setup(changed, apply=True)
    assert "update      inbound trunk" in rows(output)
    assert "allowed_addresses 192.0.2.10 →" in output
    assert "auth_password differs" in output
    assert "new-secret" not in output
    after, same_rule = await trunks.listed()
    assert after.id == first.id
    assert after.fields == {
        **first.fields,
        **own,
        "headers_to_attributes": headers,
        "allowed_addresses": [SBC, "198.51.100.0/24"],
        "auth_username": "jambonz",
        "auth_password": "new-secret",
    }
    assert same_rule == rule

    await setup(config_for(), apply=True)
    assert "auth_password" not in (await trunks.listed())[0].fields


async def test_the_participant_strategy_needs_only_an_outbound_trunk(
    config_for: ConfigMaker, trunks: Trunks
) -> None:
    await setup(config_for(), apply=True)
    config = config_for(
        inbound={"strategy": "participant"},
        trunks={
            "outbound_address": "sbc.example.com:5060",
            "outbound_transport": "tcp",
            "outbound_numbers": ["+15550199"],
        },
    )
    output = await setup(config, apply=True)
    assert "create      outbound trunk" in rows(output)
    (outbound,) = await trunks.listed()
    assert outbound.kind is Kind.OUTBOUND_TRUNK
    assert outbound.is_ours
    assert outbound.fields["transport"] == "SIP_TRANSPORT_TCP"
    assert NOTHING in await setup(config)

    output = await setup(config_for(), apply=True)
    assert "from an earlier setup" in output
    assert outbound in await trunks.listed()


async def test_the_first_of_two_managed_trunks_stays(
    config_for: ConfigMaker, trunks: Trunks
) -> None:
    """Two concurrent setups may leave two; their numbers make LiveKit accept the second."""
    created = [
        await trunks.create(inbound("twin", numbers=[str(number)], metadata=mark()))
        for number in (1, 2)
    ]
    stays = min(trunk.id for trunk in created)
    rule = per_caller("twin", max(created, key=lambda trunk: trunk.id))
    await trunks.create(
        SipItem(rule.kind, "", {**rule.fields, "metadata": mark(), "hide_phone_number": True})
    )
    await setup(config_for(), apply=True)
    trunk, rule = await trunks.listed()
    assert trunk.id == stays
    assert rule.fields["trunk_ids"] == [stays]
    assert rule.fields["hide_phone_number"]
    assert route(FROM_JAMBONZ, [trunk, rule]).room == CALLED_USER


@pytest.mark.parametrize("runs", [2, 4])
async def test_concurrent_setups_agree(config_for: ConfigMaker, trunks: Trunks, runs: int) -> None:
    await asyncio.gather(*(setup(config_for(), apply=True) for _ in range(runs)))
    items = await trunks.listed()
    assert [item.kind for item in items] == [Kind.INBOUND_TRUNK, Kind.DISPATCH_RULE]
    assert route(FROM_JAMBONZ, items).room == CALLED_USER


class Interrupted:
    """The real trunks; `interrupt` runs before the changing request number `at`."""

    def __init__(self, trunks: Trunks, at: int, interrupt: Callable[[], Awaitable[None]]) -> None:
        self._trunks = trunks
        self._at = at
        self._interrupt = interrupt

    async def listed(self) -> list[SipItem]:
        return await self._trunks.listed()

    async def create(self, item: SipItem) -> SipItem:
        await self._count()
        return await self._trunks.create(item)

    async def replace(self, item: SipItem) -> SipItem:
        await self._count()
        return await self._trunks.replace(item)

    async def delete(self, item: SipItem) -> None:
        await self._count()
        await self._trunks.delete(item)

    async def _count(self) -> None:
        self._at -= 1
        if self._at == 0:
            await self._interrupt()


def failing(error: LiveKitError) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("at", range(1, 6))
async def test_a_failed_run_is_reported_and_the_next_continues(
    config_for: ConfigMaker, trunks: Trunks, foreign_items: list[SipItem], at: int
) -> None:
    config, output = config_for(), list[str]()
    refusal = LiveKitRefused("internal", "not today", status=500)
    store = Interrupted(trunks, at, failing(refusal))
    options = Options(prune=True, apply=True, backup=Path("b.json"))
    with pytest.raises(ApplyFailed, match="not today") as failure:
        await Setup(config, options, None, output.append).run(store, None)
    applied = [line for line in output if line.startswith("  ")]
    assert len(applied) == at - 1
    assert str(failure.value).count("still to do") == 5 - at
    assert "continues from here" in str(failure.value)

    await setup(config, prune=True, apply=True, backup=Path("b.json"))
    assert route(FROM_JAMBONZ, await trunks.listed()).room == CALLED_USER
    await setup(config, restore=Path("b.json"), apply=True)
    assert readable(await trunks.listed()) == readable(foreign_items)


async def test_a_lost_response_is_no_failure(config_for: ConfigMaker, trunks: Trunks) -> None:
    """LiveKit creates the trunk, and its response is lost."""

    async def lose() -> None:
        await setup(config_for(), apply=True)
        raise LiveKitUnreachable("LiveKit did not answer within 2 s")

    output: list[str] = []
    store = Interrupted(trunks, 1, lose)
    await Setup(config_for(), Options(apply=True), None, output.append).run(store, None)
    assert output[-1] == "Done."
    assert len(await trunks.listed()) == 2


async def test_items_created_meanwhile_are_not_deleted_without_a_backup(
    config_for: ConfigMaker, trunks: Trunks, foreign_items: list[SipItem]
) -> None:
    async def make() -> None:
        fields = {"allowed_numbers": ["+1777"], "allowed_addresses": [SBC]}
        await trunks.create(inbound("meanwhile", **fields))

    store = Interrupted(trunks, 4, make)
    with pytest.raises(ApplyFailed, match="changed in the meantime"):
        await Setup(config_for(), Options(prune=True, apply=True), None, print).run(store, None)
    assert "meanwhile" in [item.name for item in await trunks.listed()]


async def test_a_failed_restore_continues(
    config_for: ConfigMaker, trunks: Trunks, foreign_items: list[SipItem], tmp_path: Path
) -> None:
    await setup(config_for(), prune=True, apply=True, backup=tmp_path / "b.json")
    backup = read_backup(tmp_path / "b.json")
    refusal = LiveKitRefused("internal", "not today", status=500)
    for at in (2, 2, 2):
        store = Interrupted(trunks, at, failing(refusal))
        with pytest.raises(ApplyFailed):
            await Setup(config_for(), Options(apply=True), backup, print).run(store, None)
    await setup(config_for(), restore=tmp_path / "b.json", apply=True)
    assert readable(await trunks.listed()) == readable(foreign_items)


async def test_a_backup_is_not_overwritten(
    config_for: ConfigMaker, trunks: Trunks, foreign_items: list[SipItem], tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    file.write_text("precious")
    with pytest.raises(BackupError, match="exists: name another file"):
        await setup(config_for(), prune=True, apply=True, backup=file)
    assert file.read_text() == "precious"
    assert await trunks.listed() == foreign_items


async def test_a_backup_of_another_livekit_is_reported(
    config_for: ConfigMaker, trunks: Trunks, foreign_items: list[SipItem], tmp_path: Path
) -> None:
    file = tmp_path / "b.json"
    await setup(config_for(), prune=True, apply=True, backup=file)
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "livekit_url": "wss://other.livekit.cloud"}))
    output = await setup(config_for(), restore=file)
    assert "FROM ANOTHER LIVEKIT, wss://other.livekit.cloud" in " ".join(output.split())


async def test_a_wrong_key_is_reported(config_for: ConfigMaker, trunks: Trunks) -> None:
    config = config_for({"LIVEKIT_API_SECRET": "x" * 40})
    with pytest.raises(ApplyFailed, match="does not know this pair"):
        await setup(config)


async def test_livekit_refuses_items_that_collide(trunks: Trunks) -> None:
    """The real server decides as `collide` does in the unit tests."""
    await trunks.create(inbound("one", allowed_addresses=[SBC]))
    for second, refused in (
        (inbound("two", allowed_addresses=["198.51.100.1"]), True),
        (inbound("three", allowed_addresses=[SBC], allowed_numbers=["1"]), False),
        (inbound("four", numbers=["1 2"]), False),
        (inbound("five", numbers=["+12", "3"]), True),
        (per_caller("six"), False),
        (per_caller("seven"), True),
    ):
        with pytest.raises(LiveKitRefused) if refused else nullcontext():
            await trunks.create(second)


async def test_jambonz_hooks_are_planned_then_set(config_for: ConfigMaker, trunks: Trunks) -> None:
    jambonz = FakeJambonz(
        [application("main", call_hook="https://old.example.com/livekit-simple?k=1")]
    )
    async with jambonz.serving():
        env = {**jambonz.env, "GATEWAY_PUBLIC_URL": "https://gw.example.com/"}
        output = await setup(config_for(env), jambonz=True)
        assert "https://old.example.com/livekit-simple?…" in output
        assert "k=1" not in output
        assert " https://gw.example.com/livekit-api#rc=5&rp=ct,5xx" in output
        assert "setup --jambonz --apply" in output
        assert {method for method, *_ in jambonz.requests} == {"GET"}

        output = await setup(config_for(env), jambonz=True, apply=True)
        (content,) = jambonz.applications
        assert content["call_hook"]["url"] == "https://gw.example.com/livekit-api#rc=5&rp=ct,5xx"
        assert (
            content["call_status_hook"]["url"] == "https://gw.example.com/livekit-api/call-status"
        )
        assert "updated  call_hook of main" in output
        assert NOTHING in await setup(config_for(env), jambonz=True, apply=True)
        assert len([method for method, *_ in jambonz.requests if method == "PUT"]) == 1


def test_the_command_line(
    config_for: ConfigMaker,
    trunks: Trunks,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    livekit = config_for().livekit
    monkeypatch.setenv("LIVEKIT_URL", livekit.url)
    monkeypatch.setenv("LIVEKIT_API_KEY", livekit.api_key)
    monkeypatch.setenv("LIVEKIT_API_SECRET", livekit.api_secret)
    monkeypatch.delenv("GATEWAY__TRUNKS__INBOUND_ADDRESSES", raising=False)
    assert main(["setup"]) == 1
    assert "trunks.inbound_addresses is empty" in capsys.readouterr().err

    monkeypatch.setenv("GATEWAY__TRUNKS__INBOUND_ADDRESSES", SBC)
    assert main(["setup", "--apply"]) == 0
    output = capsys.readouterr().out
    assert "Done." in output
    assert max(map(len, output.splitlines())) <= 100
    assert main(["setup"]) == 0
    assert NOTHING in capsys.readouterr().out

    Path("bad.json").write_text("{")
    assert main(["setup", "--restore", "bad.json", "--apply"]) == 1
    assert "bad.json is damaged" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["setup", "--prune", "--restore", "bad.json"])


async def test_the_plan_as_one_document(config_for: ConfigMaker, trunks: Trunks) -> None:
    document: dict[str, Any] = {}
    await set_up(config_for(), Options(apply=True), lambda _: None, document)
    assert [(row["action"], row["kind"], row["id"]) for row in document["plan"]] == [
        ("create", "inbound trunk", ""),
        ("create", "dispatch rule", ""),
    ]
    assert all(row["name"] and row["reason"] for row in document["plan"])
    assert (document["applied"], document["backup"]) == (True, None)
    await set_up(config_for(), Options(), lambda _: None, document)
    assert {row["action"] for row in document["plan"]} == {"unchanged"}
    assert document["applied"] is False
    assert json.loads(json.dumps(document)) == document


async def test_a_plan_that_cannot_be_applied_as_a_document(
    config_for: ConfigMaker,
    trunks: Trunks,
    foreign_items: list[SipItem],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    livekit = config_for().livekit
    env = {
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": livekit.api_key,
        "LIVEKIT_API_SECRET": livekit.api_secret,
        "GATEWAY__TRUNKS__INBOUND_ADDRESSES": SBC,
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert await asyncio.to_thread(main, ["setup", "--apply", "--json"]) == 1
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert "conflict" in {row["action"] for row in document["plan"]}
    assert "nothing was changed" in document["error"]
    assert "gateway: nothing was changed" in err
