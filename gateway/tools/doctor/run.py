"""The command `doctor`: all checks at once, or one call explained."""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import quote

from gateway.config.loader import DEV_ENV, ENV_FILE, environment, load_config, own_keys
from gateway.config.settings import Config
from gateway.config.validation import validate_for_serve
from gateway.errors import ConfigError
from gateway.tools.doctor import agents, jambonz, livekit, routes, sip, storage, webhooks
from gateway.tools.doctor import gateway as own
from gateway.tools.doctor.check import (
    Check,
    Finding,
    Result,
    Status,
    as_json,
    as_text,
    exit_code,
    fail,
    skip,
    summary,
    worst,
)
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.explain import Explanation, explain, unknown
from gateway.tools.doctor.web import NoAnswer, Web

#: As for `simulate`: what `dev` runs in another terminal is found without being told.
ENV_FILES = (ENV_FILE, DEV_ENV)
AGAIN = "run it again; if it stays so, this text and the logs of both sides tell where to look"


def run(arguments: argparse.Namespace) -> int:
    """The command; 0 all ok, 1 something to look at, 2 something that does not work."""
    try:
        config = load_config(arguments.config, env_files=ENV_FILES)
    except ConfigError as error:
        return _concluded([own.unusable(error.problems)], in_json=arguments.json)
    url = arguments.url or config.own_url
    if arguments.call:
        return asyncio.run(_explain(config, url, arguments.call, in_json=arguments.json))
    if problems := validate_for_serve(config):
        return _concluded([own.unusable(problems)], in_json=arguments.json)
    return asyncio.run(_examine(config, url, in_json=arguments.json))


async def _examine(config: Config, url: str, *, in_json: bool) -> int:
    found = []
    async with Context.opened(config, environment(ENV_FILES), url) as site:
        async for result in results(all_checks(site)):
            found.append(result)
            if not in_json:
                print(as_text(result), flush=True)
    return _concluded(found, in_json=in_json, printed=True)


def all_checks(site: Context) -> list[Check]:
    """Every check, each after those that it needs."""
    modules = (own, storage, livekit, sip, routes, agents, webhooks, jambonz)
    return [check for module in modules for check in module.checks(site)]


async def results(checks: Sequence[Check]) -> AsyncIterator[Result]:
    """All checks at once, but for those that need another; what came of them, in their order."""
    titles = {check.id: check.title for check in checks}
    tasks: dict[str, asyncio.Task[Finding]] = {}
    for check in checks:
        needed = {titles[name]: tasks[name] for name in check.needs}
        tasks[check.id] = asyncio.create_task(_looked(check, needed), name=f"check {check.id}")
    for check in checks:
        yield Result(check, await tasks[check.id])


async def _looked(check: Check, needed: Mapping[str, asyncio.Task[Finding]]) -> Finding:
    for title, task in needed.items():
        if (await task).status in {Status.FAIL, Status.SKIP}:
            return skip(f"not tried: {title} comes first")
    try:
        async with asyncio.timeout(check.limit):
            return await check.look()
    except TimeoutError:
        return fail(f"came to nothing within {check.limit:g} s", AGAIN)
    except Exception as error:  # whatever it is, the other checks have something to say
        return fail(f"{type(error).__name__}: {error}", AGAIN)


def _concluded(found: Sequence[Result], *, in_json: bool, printed: bool = False) -> int:
    """Print what has not been printed yet; the exit code."""
    if in_json:
        print(json.dumps(as_json(found), indent=2))
    else:
        for result in [] if printed else found:
            print(as_text(result))
        print(f"\n{summary(found)}")
    return exit_code(worst([result.finding.status for result in found]))


async def _explain(config: Config, url: str, call_id: str, *, in_json: bool) -> int:
    async with Web.opened(own_keys(config, environment(ENV_FILES)), url) as web:
        try:
            call = await web.gateway(f"/livekit-api/calls/{quote(call_id, safe='')}")
        except NoAnswer as error:
            told = _without_call(config, web.url, call_id, error)
        else:
            told = explain(call, now=time.time_ns() // 1_000_000)
    print(json.dumps(told.as_json(), indent=2) if in_json else told.as_text())
    return exit_code(told.status)


def _without_call(config: Config, url: str, call_id: str, error: NoAnswer) -> Explanation:
    if error.status == 404:
        return unknown(call_id, url=url, kept_for=config.storage.ended_ttl)
    step = own.next_without_diagnostics(error) if error.status else own.next_without_gateway(url)
    return Explanation(call_id, Status.FAIL, headline=str(error), next=step)
