"""`python -m gateway setup`: shows what it would do at LiveKit and Jambonz; with --apply, does."""

import argparse
import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from gateway.config.loader import load_config
from gateway.config.settings import Config
from gateway.config.validation import livekit_problems, public_url_problems
from gateway.errors import ConfigError, GatewayError, LiveKitError
from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import SipItem, Trunks
from gateway.tools.setup import report as show
from gateway.tools.setup.apply import ApplyFailed, Print, SipStore, apply_plan
from gateway.tools.setup.backup import Backup, default_path, holds, read_backup, write_backup
from gateway.tools.setup.desired import advice, wanted_items
from gateway.tools.setup.errors import explained
from gateway.tools.setup.jambonz import HooksPlan, JambonzAccount, chosen, wanted_hooks
from gateway.tools.setup.plan import Plan, plan_setup
from gateway.tools.setup.restore import plan_restore


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    apply: bool = False
    prune: bool = False
    jambonz: bool = False
    backup: Path | None = None
    restore: Path | None = None

    @property
    def command(self) -> str:
        """The same without --apply, to be typed."""
        words = ["python -m gateway setup"]
        words += ["--prune"] if self.prune else []
        words += ["--jambonz"] if self.jambonz else []
        words += [f"--backup {self.backup}"] if self.backup else []
        words += [f"--restore {self.restore}"] if self.restore else []
        return " ".join(words)


def run(arguments: argparse.Namespace) -> int:
    """The command; returns 0. Raises GatewayError if not all is as planned in the end."""
    options = Options(
        apply=arguments.apply,
        prune=arguments.prune,
        jambonz=arguments.jambonz,
        backup=Path(arguments.backup) if arguments.backup else None,
        restore=Path(arguments.restore) if arguments.restore else None,
    )
    asyncio.run(set_up(load_config(arguments.config), options, print))
    return 0


async def set_up(config: Config, options: Options, say: Print) -> None:
    """As `run`; `say` gets what there is to tell, one or more lines at a time."""
    if problems := _access_problems(config, options):
        raise ConfigError(problems)
    backup = read_backup(options.restore) if options.restore else None
    setup = Setup(config, options, backup, say)
    livekit = config.livekit
    async with AsyncExitStack() as stack:
        account = None
        if options.jambonz:
            account = await stack.enter_async_context(JambonzAccount.connected(config.jambonz))
        client = await stack.enter_async_context(
            LiveKit.connected(
                livekit.url, livekit.api_key, livekit.api_secret, timeout=livekit.timeout
            )
        )
        await setup.run(Trunks(client), account)


def _access_problems(config: Config, options: Options) -> list[str]:
    """Why nothing can be asked; what else a serving gateway needs does not matter here."""
    problems = livekit_problems(config.livekit)
    if options.jambonz:
        problems += public_url_problems(config.server)
    if options.jambonz and options.restore:
        problems.append("--restore is about LiveKit only, leave --jambonz out")
    elif options.jambonz and not config.server.public_url:
        problems.append(
            "GATEWAY_PUBLIC_URL is not set: it is where Jambonz is to reach this gateway, "
            "https://your-gateway"
        )
    return problems


class Setup:
    """One run of the command: look, plan, show, and if asked to, do."""

    def __init__(self, config: Config, options: Options, backup: Backup | None, say: Print) -> None:
        """`backup` is what is to be restored. Raises ConfigError if the settings cannot do."""
        self._config = config
        self._options = options
        self._backup = backup
        self._say = say
        if backup is None:
            wanted_items(config)

    async def run(self, store: SipStore, account: JambonzAccount | None) -> None:
        """`account` is given if its hooks are to be looked after too."""
        try:
            before = await store.listed()
        except LiveKitError as error:
            raise ApplyFailed(explained(error)) from error
        hooks = await self._hooks(account) if account else None
        plan = self._plan(before)
        self._show(before, plan, hooks)
        if not self._options.apply:
            self._say_next(plan, hooks)
            return
        if plan.in_the_way:
            raise ApplyFailed(f"nothing has been changed: {self._way_out()}")
        await self._do(plan, store)
        if account and hooks:
            await self._set_hooks(account, hooks)
        self._say("Done." if plan.to_do or (hooks and hooks.changes) else NOTHING_TO_DO)

    def _plan(self, items: Sequence[SipItem]) -> Plan:
        if self._backup:
            return plan_restore(self._backup.items, items)
        return plan_setup(self._config, items, prune=self._options.prune)

    async def _hooks(self, account: JambonzAccount) -> HooksPlan:
        application = chosen(await account.applications(), self._config.jambonz.application)
        return HooksPlan(application, wanted_hooks(self._config.server.public_url))

    def _show(self, before: Sequence[SipItem], plan: Plan, hooks: HooksPlan | None) -> None:
        self._say(f"Trunks and rules at {self._config.livekit.url}\n")
        self._say(show.plan_table(plan, hooks) + "\n")
        if met := show.routes(self._config, before, plan):
            self._say(met + "\n")
        for remark in [*self._remarks(plan), *show.open_door(plan)]:
            self._say(show.note(f"Note: {remark}") + "\n")

    def _remarks(self, plan: Plan) -> list[str]:
        if self._backup is None:
            return advice(self._config, plan.items)
        made = f"the backup is from {self._backup.made_at}"
        if _place(self._backup.livekit_url) == _place(self._config.livekit.url):
            return [made]
        return [
            f"{made} AND FROM ANOTHER LIVEKIT, {self._backup.livekit_url}: is this the right file "
            "and the right LIVEKIT_URL?"
        ]

    def _say_next(self, plan: Plan, hooks: HooksPlan | None) -> None:
        if plan.in_the_way:
            self._say(f"Nothing has been changed: {self._way_out()}")
        elif plan.to_do or (hooks and hooks.changes):
            self._say(f"Nothing has been changed. To do it: {self._options.command} --apply")
        else:
            self._say(NOTHING_TO_DO)

    def _way_out(self) -> str:
        if self._backup:
            return "something that is not the gateway's own is in the way; see to it by hand."
        prune = replace(self._options, prune=True).command
        return (
            "something that is not the gateway's own is in the way.\n"
            f"To see the plan without it:               {prune}\n"
            f"To delete it after a backup, and go on:   {prune} --apply"
        )

    async def _do(self, plan: Plan, store: SipStore) -> None:
        if plan.lost:
            self._back_up(plan.lost)
        await apply_plan(plan, self._plan, store, self._say)

    def _back_up(self, items: tuple[SipItem, ...]) -> None:
        now = datetime.now(UTC)
        path = self._options.backup or default_path(now)
        url = self._config.livekit.url
        # A run that goes on where another stopped has what is left in that one's backup.
        if not holds(path, url, items):
            write_backup(path, Backup(url, now.isoformat(timespec="seconds"), items))
        self._say(
            f"Backup of what is not the gateway's own: {path}\n"
            f"To go back to it: python -m gateway setup --restore {path} --apply\n"
        )

    async def _set_hooks(self, account: JambonzAccount, plan: HooksPlan) -> None:
        if not plan.changes:
            return
        try:
            await account.set_hooks(plan.application, plan.changes)
            left = (await self._hooks(account)).changes
        except GatewayError as error:
            raise ApplyFailed(
                f"LiveKit is as planned, the hooks of Jambonz are not: {error}\n"
                "Run the same again once that is mended: it goes on from here."
            ) from error
        if left:
            raise ApplyFailed(f"Jambonz took the hooks, but does not show {', '.join(left)}")
        for name in plan.changes:
            self._say(f"  changed  {name} of {plan.application.name}")


NOTHING_TO_DO = "Nothing to do: all is as it should be."


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port
