"""A check of the history, as the running gateway reports it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.config.settings import Config
from gateway.history.writer import HistoryState
from gateway.tools.doctor.check import Check, Finding, fail, ok, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.gateway import DIAGNOSTICS, next_without_diagnostics
from gateway.tools.doctor.web import RequestFailed


def checks(context: Context) -> list[Check]:
    return [Check("history", "history", partial(_history, context), needs=("gateway",))]


async def _history(context: Context) -> Finding:
    try:
        diagnostics = await context.http.gateway(DIAGNOSTICS)
    except RequestFailed as error:
        return warn(f"cannot be checked: {error}", next_without_diagnostics(error))
    return judge(context.config, diagnostics["history"])


def judge(config: Config, history: Mapping[str, Any]) -> Finding:
    """`history` is that of the gateway's diagnostics."""
    state, problem = history["state"], history["problem"]
    if state == HistoryState.OFF:
        return ok("none: ended calls are gone after storage.ended_ttl")
    if state == HistoryState.UNAVAILABLE:
        waiting = f"{history['waiting']} ended calls wait for it"
        return fail(
            f"{problem}; {waiting}", "make the database of HISTORY_URL answer; no call waits"
        )
    if history["lost"]:
        message = f"{history['lost']} ended calls were lost before it took them"
        return warn(message, "the gateway's log has why: history.calls_lost, history.call_refused")
    if config.storage.url and config.history.url.startswith("sqlite"):
        message = "a file of this gateway alone, though gateways share a Redis"
        return warn(message, "with several gateways set HISTORY_URL to a PostgreSQL")
    return ok(f"kept, {history['waiting']} ended calls wait to be written")
