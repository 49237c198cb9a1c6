"""Checks of the storage: Redis answers, and it does not lose what the gateway stores."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.config.settings import StorageSettings
from gateway.errors import StorageRefused, StorageUnavailable
from gateway.storage.redis.database import Database
from gateway.tools.doctor.check import Check, Finding, combined, fail, ok, warn
from gateway.tools.doctor.context import Context

#: The oldest Redis that has every command which the gateway sends.
OLDEST = (6, 2)


def checks(context: Context) -> list[Check]:
    return [Check("storage", "storage", partial(_storage, context.config.storage))]


async def _storage(settings: StorageSettings) -> Finding:
    if not settings.url:
        return ok("in memory: for one gateway; after a restart LiveKit's rooms restore the calls")
    async with Database.open(settings) as database:
        return await _redis(database)


async def _redis(database: Database) -> Finding:
    try:
        active = await database.execute("ZCARD", database.key("active"))
    except StorageRefused as error:
        step = "check user and password in REDIS_URL, and that user's permissions"
        return fail(str(error), step)
    except StorageUnavailable as error:
        return fail(str(error), "start Redis, or correct its address in REDIS_URL")
    answers = ok(f"Redis answers, {active} active calls")
    try:
        info = await database.execute("INFO")
    except StorageUnavailable:
        return answers  # the user in REDIS_URL may lack the permission for INFO
    return combined([answers, *(durability(info) if "redis_version" in info else [])])


def durability(info: Mapping[str, Any]) -> list[Finding]:
    """What Redis' INFO shows that can lose calls or callbacks."""
    findings = []
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        oldest = ".".join(str(part) for part in OLDEST)
        findings.append(fail(f"Redis {version} is too old", f"install {oldest} or later"))
    if not info.get("aof_enabled"):
        message = "a restart of Redis loses the latest calls and callbacks"
        findings.append(warn(message, "set appendonly yes in redis.conf"))
    policy = info.get("maxmemory_policy", "noeviction")
    if info.get("maxmemory") and policy != "noeviction":
        message = f"Redis evicts calls when memory is short: maxmemory-policy {policy}"
        findings.append(warn(message, "set maxmemory-policy noeviction in redis.conf"))
    return findings
