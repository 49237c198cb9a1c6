"""`python -m gateway doctor`: run all checks, or explain one call."""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import quote

from gateway.config.loader import CLIENT_ENV_FILES, environment, load_config, own_keys
from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.explanation.explain import Explanation, explain, not_found
from gateway.explanation.status import Status
from gateway.server import startup_problems
from gateway.tools.doctor import (
    agents,
    encryption,
    gateway,
    history,
    jambonz,
    livekit,
    routes,
    sip,
    storage,
    webhooks,
)
from gateway.tools.doctor.check import (
    Check,
    Finding,
    Result,
    as_json,
    as_text,
    exit_code,
    fail,
    skip,
    summary,
    worst,
)
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.explanation_text import explanation_text
from gateway.tools.doctor.web import HttpClient, RequestFailed
from gateway.tools.terminal import Waiting

_REPEAT = "run doctor again; if it fails again, see the logs of the gateway and of LiveKit"


def run(arguments: argparse.Namespace) -> int:
    """The command; returns 0 if all is ok, 1 for warnings, 2 for failures."""
    try:
        config = load_config(arguments.config, env_files=CLIENT_ENV_FILES)
    except ConfigError as error:
        return _finish([gateway.unusable(error.problems)], in_json=arguments.json)
    url = arguments.url or config.own_url
    if arguments.call:
        return asyncio.run(_explain(config, url, arguments.call, in_json=arguments.json))
    if problems := startup_problems(config):
        return _finish([gateway.unusable(problems)], in_json=arguments.json)
    return asyncio.run(_check(config, url, arguments))


async def _check(config: Config, url: str, arguments: argparse.Namespace) -> int:
    finished: list[Result] = []
    async with Context.opened(config, environment(CLIENT_ENV_FILES), url) as context:
        checks = [check for check in all_checks(context) if check.offline or not arguments.offline]
        with Waiting("checking") as waiting:
            async for result in results(checks):
                finished.append(result)
                waiting.update(f"{len(finished)} of {len(checks)} done")
                if not arguments.json:
                    waiting.print(as_text(result))
    return _finish(finished, in_json=arguments.json, printed=True)


def all_checks(context: Context) -> list[Check]:
    """Every check, each after those that it needs."""
    modules = (
        gateway,
        storage,
        history,
        livekit,
        sip,
        routes,
        encryption,
        agents,
        webhooks,
        jambonz,
    )
    return [check for module in modules for check in module.checks(context)]


async def results(checks: Sequence[Check]) -> AsyncIterator[Result]:
    """Run all checks concurrently, each after those that it needs; results in the given order."""
    titles = {check.id: check.title for check in checks}
    tasks: dict[str, asyncio.Task[Finding]] = {}
    for check in checks:
        needed = {titles[name]: tasks[name] for name in check.needs}
        tasks[check.id] = asyncio.create_task(_finding(check, needed), name=f"check {check.id}")
    for check in checks:
        yield Result(check, await tasks[check.id])


async def _finding(check: Check, needed: Mapping[str, asyncio.Task[Finding]]) -> Finding:
    for title, task in needed.items():
        if (await task).status in {Status.FAIL, Status.SKIP}:
            return skip(f"not checked, because of {title}")
    try:
        async with asyncio.timeout(check.timeout):
            return await check.run()
    except TimeoutError:
        return fail(f"no result within {check.timeout:g} s", _REPEAT)
    except Exception as error:  # one broken check must not hide the findings of the others
        return fail(f"{type(error).__name__}: {error}", _REPEAT)


def _finish(results: Sequence[Result], *, in_json: bool, printed: bool = False) -> int:
    """Print the results unless that is done, and a summary; returns the exit code."""
    if in_json:
        print(json.dumps(as_json(results), indent=2))
    else:
        for result in [] if printed else results:
            print(as_text(result))
        print(f"\n{summary(results)}")
    return exit_code(worst([result.finding.status for result in results]))


async def _explain(config: Config, url: str, call_id: str, *, in_json: bool) -> int:
    keys = own_keys(config, environment(CLIENT_ENV_FILES))
    with Waiting("asking for the call"):
        async with HttpClient.opened(keys, url) as http:
            explanation = await _explanation(config, http, call_id)
    print(json.dumps(explanation.as_json(), indent=2) if in_json else explanation_text(explanation))
    return exit_code(explanation.status)


async def _explanation(config: Config, http: HttpClient, call_id: str) -> Explanation:
    try:
        call = await http.gateway(f"/livekit-api/calls/{quote(call_id, safe='')}")
    except RequestFailed as error:
        return _without_call(config, http.url, call_id, error)
    return explain(call, now=time.time_ns() // 1_000_000)


def _without_call(config: Config, url: str, call_id: str, error: RequestFailed) -> Explanation:
    if error.status == 404:
        kept_for, setting = config.storage.ended_ttl, "storage.ended_ttl"
        if config.history.url:
            kept_for, setting = config.history.retention, "history.retention"
        return not_found(call_id, url=url, kept_for=kept_for, setting=setting)
    step = (
        gateway.next_without_diagnostics(error)
        if error.status
        else gateway.next_without_gateway(url)
    )
    return Explanation(call_id, Status.FAIL, headline=str(error), next=step)
