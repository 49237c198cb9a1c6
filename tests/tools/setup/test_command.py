"""`setup` against a real livekit-server with Redis: planned, applied, pruned, brought back."""

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
from gateway.tools.setup.backup import BackupUnusable, read_backup
from gateway.tools.setup.command import Options, Setup, set_up
from gateway.tools.setup.conflicts import CALLED, probes
from gateway.tools.setup.routing import Invite, route
from tests.fakes.jambonz_rest import FakeJambonz, application
from tests.tools.setup.conftest import SBC, ConfigMaker, inbound, per_caller

FROM_JAMBONZ = Invite("+15550100", CALLED, SBC)
NOTHING = "Nothing to do"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backups go to the current folder."""
    monkeypatch.chdir(tmp_path)


async def setup(config: Config, **options: Any) -> str:
    """Everything that setup says."""
    lines: list[str] = []
    await set_up(config, Options(**options), lines.append)
    return "\n".join(lines)


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def rows(said: str) -> list[str]:
    """What the table says is to be done, and with which kind."""
    actions = ("create ", "change ", "delete ", "keep ", "in the way ")
    return [line[:26].rstrip() for line in said.splitlines() if line.startswith(actions)]


async def test_an_empty_livekit_is_made_ready_once(config_for: ConfigMaker, trunks: Trunks) -> None:
    config = config_for()
    said = await setup(config)
    assert rows(said) == ["create      inbound trunk", "create      dispatch rule"]
    assert "python -m gateway setup --apply" in said
    assert await trunks.listed() == []

    assert "created  inbound trunk ST_" in await setup(config, apply=True)
    there = await trunks.listed()
    met = route(FROM_JAMBONZ, there)
    assert (met.room, met.problem) == (CALLED, "")
    assert {item.is_ours for item in there} == {True}
    assert there[0].fields["headers_to_attributes"] == {
        "X-Call-Id": "call_id",
        "X-Account-Code": "account_code",
    }

    assert NOTHING in await setup(config)
    assert NOTHING in await setup(config, apply=True)
    assert await trunks.listed() == there


async def test_an_old_setup_is_explained_then_pruned_then_brought_back(
    config_for: ConfigMaker, trunks: Trunks, old_setup: list[SipItem], tmp_path: Path
) -> None:
    config = config_for()
    said = await setup(config)
    assert sorted(row for row in rows(said) if "way" in row) == [
        "in the way  dispatch rule",
        "in the way  inbound trunk",
        "in the way  inbound trunk",
    ]
    assert "random end" in " ".join(said.split())
    assert "setup --prune --apply" in said

    with pytest.raises(ApplyFailed, match="nothing has been changed"):
        await setup(config, apply=True)
    assert await trunks.listed() == old_setup

    await setup(config, prune=True)
    assert await trunks.listed() == old_setup
    assert files(tmp_path) == []

    await setup(config, prune=True, apply=True)
    there = await trunks.listed()
    for invite in probes([SBC], old_setup):
        met = route(invite, there)
        assert (met.room, met.problem) == (CALLED, "")
    names = [item.name for item in there if not item.is_ours]
    assert sorted(names) == ["carrier", "everything else", "main", "main number", "more", "shared"]
    assert NOTHING in await setup(config)

    (backup,) = files(tmp_path)
    assert backup.stat().st_mode & 0o777 == 0o600
    assert {item.name for item in read_backup(backup).items} == {"any number", "boss", "catch"}
    said = await setup(config, restore=backup)
    assert "not in the backup" in said
    assert await trunks.listed() == there

    await setup(config, restore=backup, apply=True)
    back = await trunks.listed()
    assert readable(back) == readable(old_setup)
    assert NOTHING in await setup(config, restore=backup, apply=True)
    assert await trunks.listed() == back
    assert "in the way" in await setup(config)


def readable(items: list[SipItem]) -> list[Any]:
    """What items say, with names for the ids that LiveKit gives anew."""
    names = {item.id: item.name for item in items}
    return sorted(
        (
            str(item.kind),
            item.name,
            {**item.fields, "trunk_ids": [names[i] for i in item.fields.get("trunk_ids", [])]},
        )
        for item in items
    )


async def test_settings_that_changed_are_changed_and_nothing_else(
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
    said = await setup(changed, apply=True)
    assert "change      inbound trunk" in rows(said)
    assert "allowed_addresses 192.0.2.10 →" in said
    assert "auth_password differs" in said
    assert "new-secret" not in said
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


async def test_the_other_strategy_needs_only_an_outbound_trunk(
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
    said = await setup(config, apply=True)
    assert "create      outbound trunk" in rows(said)
    (there,) = await trunks.listed()
    assert there.kind is Kind.OUTBOUND_TRUNK
    assert there.is_ours
    assert there.fields["transport"] == "SIP_TRANSPORT_TCP"
    assert NOTHING in await setup(config)

    said = await setup(config_for(), apply=True)
    assert "ours from before" in said
    assert there in await trunks.listed()


async def test_of_two_of_ours_the_first_stays(config_for: ConfigMaker, trunks: Trunks) -> None:
    """As two setups at the same moment may leave them; numbers make LiveKit take the second."""
    made = [
        await trunks.create(inbound("twin", numbers=[str(number)], metadata=mark()))
        for number in (1, 2)
    ]
    stays = min(trunk.id for trunk in made)
    rule = per_caller("twin", max(made, key=lambda trunk: trunk.id))
    await trunks.create(
        SipItem(rule.kind, "", {**rule.fields, "metadata": mark(), "hide_phone_number": True})
    )
    await setup(config_for(), apply=True)
    trunk, rule = await trunks.listed()
    assert trunk.id == stays
    assert rule.fields["trunk_ids"] == [stays]
    assert rule.fields["hide_phone_number"]
    assert route(FROM_JAMBONZ, [trunk, rule]).room == CALLED


@pytest.mark.parametrize("runs", [2, 4])
async def test_setups_at_the_same_moment_agree(
    config_for: ConfigMaker, trunks: Trunks, runs: int
) -> None:
    await asyncio.gather(*(setup(config_for(), apply=True) for _ in range(runs)))
    there = await trunks.listed()
    assert [item.kind for item in there] == [Kind.INBOUND_TRUNK, Kind.DISPATCH_RULE]
    assert route(FROM_JAMBONZ, there).room == CALLED


class Meddled:
    """The real trunks, with something done before the changing request number `at`."""

    def __init__(self, trunks: Trunks, at: int, meddle: Callable[[], Awaitable[None]]) -> None:
        self._trunks = trunks
        self._at = at
        self._meddle = meddle

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
            await self._meddle()


def failing(error: LiveKitError) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise error

    return fail


@pytest.mark.parametrize("at", range(1, 6))
async def test_a_run_that_fails_half_way_says_so_and_a_second_goes_on(
    config_for: ConfigMaker, trunks: Trunks, old_setup: list[SipItem], at: int
) -> None:
    config, said = config_for(), list[str]()
    refusal = LiveKitRefused("internal", "not today", status=500)
    store = Meddled(trunks, at, failing(refusal))
    options = Options(prune=True, apply=True, backup=Path("b.json"))
    with pytest.raises(ApplyFailed, match="not today") as stopped:
        await Setup(config, options, None, said.append).run(store, None)
    done = [line for line in said if line.startswith("  ")]
    assert len(done) == at - 1
    assert str(stopped.value).count("still to do") == 5 - at
    assert "goes on from here" in str(stopped.value)

    await setup(config, prune=True, apply=True, backup=Path("b.json"))
    assert route(FROM_JAMBONZ, await trunks.listed()).room == CALLED
    await setup(config, restore=Path("b.json"), apply=True)
    assert readable(await trunks.listed()) == readable(old_setup)


async def test_a_lost_answer_is_no_failure(config_for: ConfigMaker, trunks: Trunks) -> None:
    """The trunk is made, and LiveKit's answer does not come."""

    async def lose() -> None:
        await setup(config_for(), apply=True)
        raise LiveKitUnreachable("LiveKit did not answer within 2 s")

    said: list[str] = []
    store = Meddled(trunks, 1, lose)
    await Setup(config_for(), Options(apply=True), None, said.append).run(store, None)
    assert said[-1] == "Done."
    assert len(await trunks.listed()) == 2


async def test_what_others_make_meanwhile_is_not_deleted_without_a_backup(
    config_for: ConfigMaker, trunks: Trunks, old_setup: list[SipItem]
) -> None:
    async def make() -> None:
        fields = {"allowed_numbers": ["+1777"], "allowed_addresses": [SBC]}
        await trunks.create(inbound("meanwhile", **fields))

    store = Meddled(trunks, 4, make)
    with pytest.raises(ApplyFailed, match="changed meanwhile"):
        await Setup(config_for(), Options(prune=True, apply=True), None, print).run(store, None)
    assert "meanwhile" in [item.name for item in await trunks.listed()]


async def test_a_restore_that_fails_half_way_goes_on(
    config_for: ConfigMaker, trunks: Trunks, old_setup: list[SipItem], tmp_path: Path
) -> None:
    await setup(config_for(), prune=True, apply=True, backup=tmp_path / "b.json")
    backup = read_backup(tmp_path / "b.json")
    refusal = LiveKitRefused("internal", "not today", status=500)
    for at in (2, 2, 2):
        store = Meddled(trunks, at, failing(refusal))
        with pytest.raises(ApplyFailed):
            await Setup(config_for(), Options(apply=True), backup, print).run(store, None)
    await setup(config_for(), restore=tmp_path / "b.json", apply=True)
    assert readable(await trunks.listed()) == readable(old_setup)


async def test_a_backup_is_not_overwritten(
    config_for: ConfigMaker, trunks: Trunks, old_setup: list[SipItem], tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    file.write_text("precious")
    with pytest.raises(BackupUnusable, match="is there already"):
        await setup(config_for(), prune=True, apply=True, backup=file)
    assert file.read_text() == "precious"
    assert await trunks.listed() == old_setup


async def test_a_backup_of_another_livekit_is_pointed_out(
    config_for: ConfigMaker, trunks: Trunks, old_setup: list[SipItem], tmp_path: Path
) -> None:
    file = tmp_path / "b.json"
    await setup(config_for(), prune=True, apply=True, backup=file)
    content = json.loads(file.read_text())
    file.write_text(json.dumps({**content, "livekit_url": "wss://other.livekit.cloud"}))
    said = await setup(config_for(), restore=file)
    assert "FROM ANOTHER LIVEKIT, wss://other.livekit.cloud" in " ".join(said.split())


async def test_a_wrong_key_is_said_to_be_wrong(config_for: ConfigMaker, trunks: Trunks) -> None:
    config = config_for({"LIVEKIT_API_SECRET": "x" * 40})
    with pytest.raises(ApplyFailed, match="not a pair that this server knows"):
        await setup(config)


async def test_what_livekit_refuses_beside_another_is_known_beforehand(trunks: Trunks) -> None:
    """The real server's word on what `clash` says in the unit tests."""
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


async def test_jambonz_hooks_are_shown_then_set(config_for: ConfigMaker, trunks: Trunks) -> None:
    jambonz = FakeJambonz(
        [application("main", call_hook="https://old.example.com/livekit-simple?k=1")]
    )
    async with jambonz.serving():
        env = {**jambonz.env, "GATEWAY_PUBLIC_URL": "https://gw.example.com/"}
        said = await setup(config_for(env), jambonz=True)
        assert "https://old.example.com/livekit-simple?…" in said
        assert "k=1" not in said
        assert " https://gw.example.com/livekit-api#rc=3&rp=ct,5xx" in said
        assert "setup --jambonz --apply" in said
        assert {method for method, *_ in jambonz.requests} == {"GET"}

        said = await setup(config_for(env), jambonz=True, apply=True)
        (there,) = jambonz.applications
        assert there["call_hook"]["url"] == "https://gw.example.com/livekit-api#rc=3&rp=ct,5xx"
        assert there["call_status_hook"]["url"] == "https://gw.example.com/livekit-api/call-status"
        assert "changed  call_hook of main" in said
        assert NOTHING in await setup(config_for(env), jambonz=True, apply=True)
        assert len([method for method, *_ in jambonz.requests if method == "PUT"]) == 1


def test_the_command_itself(
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
    said = capsys.readouterr().out
    assert "Done." in said
    assert max(map(len, said.splitlines())) <= 100
    assert main(["setup"]) == 0
    assert NOTHING in capsys.readouterr().out

    Path("bad.json").write_text("{")
    assert main(["setup", "--restore", "bad.json", "--apply"]) == 1
    assert "bad.json is damaged" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["setup", "--prune", "--restore", "bad.json"])
