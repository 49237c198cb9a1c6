"""`python -m gateway setup`: prints the plan for LiveKit and Jambonz; with --apply, applies it."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gateway.config.loader import CLIENT_ENV_FILES, load_config
from gateway.config.settings import Config
from gateway.config.validation import livekit_problems
from gateway.errors import ConfigError, GatewayError, LiveKitError
from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import SipItem, Trunks
from gateway.tools.setup import report
from gateway.tools.setup.apply import ApplyFailed, SipStore, apply_plan
from gateway.tools.setup.backup import Backup, contains, default_path, read_backup, write_backup
from gateway.tools.setup.desired import advice, desired_items
from gateway.tools.setup.errors import explain
from gateway.tools.setup.jambonz import (
    HooksPlan,
    carrier_step,
    desired_hooks,
    select_application,
)
from gateway.tools.setup.jambonz_rest import JambonzAccount
from gateway.tools.setup.plan import Plan, plan_setup
from gateway.tools.setup.restore import plan_restore
from gateway.tools.terminal import Print, Waiting, wrapped

NOTHING_TO_DO = "Nothing to do: everything is as desired."


@dataclass(frozen=True, slots=True)
class Options:
    """The options on the command line."""

    apply: bool = False
    prune: bool = False
    jambonz: bool = False
    backup: Path | None = None
    restore: Path | None = None

    @property
    def command(self) -> str:
        """The command with these options, but without --apply."""
        words = ["python -m gateway setup"]
        words += ["--prune"] if self.prune else []
        words += ["--jambonz"] if self.jambonz else []
        words += [f"--backup {self.backup}"] if self.backup else []
        words += [f"--restore {self.restore}"] if self.restore else []
        return " ".join(words)


def run(arguments: argparse.Namespace) -> int:
    """The command; returns 0. Raises GatewayError if the plan could not be made or applied.

    With --json standard output is one document, and what is done meanwhile on standard error.
    """
    options = Options(
        apply=arguments.apply,
        prune=arguments.prune,
        jambonz=arguments.jambonz,
        backup=Path(arguments.backup) if arguments.backup else None,
        restore=Path(arguments.restore) if arguments.restore else None,
    )
    config = load_config(arguments.config, env_files=CLIENT_ENV_FILES)
    if not arguments.json:
        asyncio.run(set_up(config, options, print))
        return 0
    document: dict[str, Any] = {}
    try:
        asyncio.run(set_up(config, options, partial(print, file=sys.stderr), document))
    except ApplyFailed as error:
        document["error"] = str(error)
        raise
    finally:
        if document:
            print(json.dumps(document, indent=2))
    return 0


async def set_up(
    config: Config, options: Options, print_line: Print, document: dict[str, Any] | None = None
) -> None:
    """As `run`, with the output as text to `print_line`, and for programs in `document`."""
    if problems := _access_problems(config, options):
        raise ConfigError(problems)
    backup = read_backup(options.restore) if options.restore else None
    setup = Setup(config, options, backup, print_line, document)
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
    """Why LiveKit or Jambonz cannot be reached with these settings and options."""
    problems = livekit_problems(config.livekit)
    if options.jambonz and options.restore:
        problems.append("--restore concerns LiveKit only: omit --jambonz")
    elif options.jambonz and not config.server.public_url:
        problems.append(
            "GATEWAY_PUBLIC_URL is not set: it is the address at which Jambonz reaches this "
            "gateway, https://your-gateway"
        )
    return problems


class Setup:
    """One run of the command: list what exists, plan, report and, with --apply, apply."""

    def __init__(
        self,
        config: Config,
        options: Options,
        backup: Backup | None,
        print_line: Print,
        document: dict[str, Any] | None = None,
    ) -> None:
        """`backup` is the one to restore, `document` what --json prints.

        Raises ConfigError for settings that are not enough.
        """
        self._config = config
        self._options = options
        self._backup = backup
        self._print = print_line
        self._document = {} if document is None else document
        if backup is None:
            desired_items(config)

    async def run(self, store: SipStore, account: JambonzAccount | None) -> None:
        """`account` is given if the hooks of its application are set up too. Raises ApplyFailed."""
        with Waiting("listing what there is"):
            try:
                before = await store.listed()
            except LiveKitError as error:
                raise ApplyFailed(explain(error)) from error
            hooks = await self._hooks_plan(account) if account else None
            plan = self._plan(before)
            notes = [*self._notes(plan), *await self._carrier_notes(account, hooks)]
        self._report(before, plan, hooks, [*notes, *report.open_access(plan)])
        if not self._options.apply:
            self._print_next_step(plan, hooks)
            return
        if plan.conflicts:
            raise ApplyFailed(f"nothing was changed: {self._resolution()}")
        await self._apply(plan, store)
        if account and hooks:
            await self._set_hooks(account, hooks)
        self._document["applied"] = True
        self._print("Done." if plan.changes or (hooks and hooks.changes) else NOTHING_TO_DO)

    def _plan(self, items: Sequence[SipItem]) -> Plan:
        if self._backup:
            return plan_restore(self._backup.items, items)
        return plan_setup(self._config, items, prune=self._options.prune)

    async def _hooks_plan(self, account: JambonzAccount) -> HooksPlan:
        applications = await account.applications()
        application = select_application(applications, self._config.jambonz.application)
        return HooksPlan(application, desired_hooks(self._config.server.public_url))

    async def _carrier_notes(
        self, account: JambonzAccount | None, hooks: HooksPlan | None
    ) -> list[str]:
        """Whether Jambonz takes LiveKit's calls, where it has to."""
        if self._backup or self._config.inbound.strategy != "participant":
            return []
        step = carrier_step(self._config.livekit.sip_address)
        if account is None or hooks is None:
            return [f"inbound.strategy participant needs a carrier at Jambonz for LiveKit. {step}"]
        name, sid = hooks.application.name, hooks.application.sid
        if any(carrier.application_sid == sid for carrier in await account.carriers()):
            return []
        return [f"no carrier of the Jambonz account has the application {name!r}. {step}"]

    def _report(
        self,
        before: Sequence[SipItem],
        plan: Plan,
        hooks: HooksPlan | None,
        notes: Sequence[str],
    ) -> None:
        self._print(f"Trunks and dispatch rules at {self._config.livekit.url}\n")
        self._print(report.plan_table(plan, hooks) + "\n")
        if routes := report.routes(self._config, before, plan):
            self._print(routes + "\n")
        for note in notes:
            self._print("\n".join(wrapped(note, label="Note: ")) + "\n")
        self._document |= {
            "livekit_url": self._config.livekit.url,
            "plan": report.plan_json(plan, hooks),
            "notes": list(notes),
            "applied": False,
            "backup": None,
        }

    def _notes(self, plan: Plan) -> list[str]:
        if self._backup is None:
            return advice(self._config, plan.result)
        made_at = f"the backup is from {self._backup.made_at}"
        if _host_and_port(self._backup.livekit_url) == _host_and_port(self._config.livekit.url):
            return [made_at]
        return [
            f"{made_at} AND FROM ANOTHER LIVEKIT, {self._backup.livekit_url}: check the file and "
            "LIVEKIT_URL"
        ]

    def _print_next_step(self, plan: Plan, hooks: HooksPlan | None) -> None:
        if plan.conflicts:
            self._print(f"Nothing was changed: {self._resolution()}")
        elif plan.changes or (hooks and hooks.changes):
            self._print(f"Nothing was changed. To apply the plan: {self._options.command} --apply")
        else:
            self._print(NOTHING_TO_DO)

    def _resolution(self) -> str:
        """What to do about conflicts."""
        if self._backup:
            return "items that the gateway does not manage conflict with the backup; see above."
        prune = replace(self._options, prune=True).command
        return (
            "items that the gateway does not manage conflict with the plan.\n"
            f"To see the plan that deletes them:       {prune}\n"
            f"To apply it, after a backup of them:     {prune} --apply"
        )

    async def _apply(self, plan: Plan, store: SipStore) -> None:
        if plan.foreign_deletions:
            self._back_up(plan.foreign_deletions)
        await apply_plan(plan, self._plan, store, self._print)

    def _back_up(self, items: tuple[SipItem, ...]) -> None:
        now = datetime.now(UTC)
        path = self._options.backup or default_path(now)
        url = self._config.livekit.url
        # A run that continues a failed one finds the remaining items in that one's backup.
        if not contains(path, url, items):
            write_backup(path, Backup(url, now.isoformat(timespec="seconds"), items))
        self._document["backup"] = str(path)
        self._print(
            f"Backup of the items that the gateway does not manage: {path}\n"
            f"To restore it: python -m gateway setup --restore {path} --apply\n"
        )

    async def _set_hooks(self, account: JambonzAccount, plan: HooksPlan) -> None:
        if not plan.changes:
            return
        try:
            await account.set_hooks(plan.application, plan.changes)
            remaining = (await self._hooks_plan(account)).changes
        except GatewayError as error:
            raise ApplyFailed(
                f"the plan is applied at LiveKit, but not at Jambonz: {error}\n"
                "Solve this, then run the same command again: it continues from here."
            ) from error
        if remaining:
            names = ", ".join(remaining)
            raise ApplyFailed(f"Jambonz accepted the hooks, but does not list {names} as set")
        for name in plan.changes:
            self._print(f"  updated  {name} of {plan.application.name}")


def _host_and_port(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port
