"""Where calls are kept: whether Redis answers, and whether it keeps what it is told."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.config.settings import StorageSettings
from gateway.errors import StorageRefused, StorageUnavailable
from gateway.storage.redis.connect import url_problem
from gateway.storage.redis.database import Database
from gateway.tools.doctor.check import Check, Finding, fail, ok, together, warn
from gateway.tools.doctor.context import Context

#: The oldest Redis that has all that is asked of it.
OLDEST = (6, 2)


def checks(site: Context) -> list[Check]:
    return [Check("storage", "storage", partial(_storage, site.config.storage))]


async def _storage(settings: StorageSettings) -> Finding:
    if not settings.url:
        return ok("in memory: for one gateway; a restart begins anew with LiveKit's rooms")
    if problem := url_problem(settings.url):
        return fail("REDIS_URL cannot be used", f"it {problem}")
    async with Database.open(settings) as database:
        return await _asked(database)


async def _asked(database: Database) -> Finding:
    try:
        active = await database.execute("ZCARD", database.key("active"))
    except StorageRefused as error:
        return fail(str(error), "check user and password in REDIS_URL, and what that user may do")
    except StorageUnavailable as error:
        return fail(str(error), "start Redis, or put its address into REDIS_URL")
    answers = ok(f"Redis answers, {active} active calls")
    try:
        told = await database.execute("INFO")
    except StorageUnavailable:
        return answers  # not every user may ask how it is set up
    return together([answers, *(kept(told) if "redis_version" in told else [])])


def kept(told: Mapping[str, Any]) -> list[Finding]:
    """What Redis' INFO says of how well it keeps things."""
    findings = []
    version = str(told["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        findings.append(fail(f"it is Redis {version}", f"take {oldest} or later"))
    if not told.get("aof_enabled"):
        saw = "it forgets the last calls and callbacks when it is started again"
        findings.append(warn(saw, "set appendonly yes in redis.conf"))
    policy = told.get("maxmemory_policy", "noeviction")
    if told.get("maxmemory") and policy != "noeviction":
        saw = f"where memory is short it drops calls: maxmemory-policy {policy}"
        findings.append(warn(saw, "set maxmemory-policy noeviction in redis.conf"))
    return findings
