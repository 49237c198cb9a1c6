"""What is in Redis after a run: how many keys of which kind, and unread stream entries."""

import re
from collections import Counter
from dataclasses import dataclass, field

from redis.asyncio import Redis

#: The part of a name that distinguishes keys of one kind.
_ID = re.compile(r"(call|outbound|evt|dlv)[-_][\w-]+|[0-9a-f-]{16,}")


@dataclass
class RedisContents:
    """`keys` counts the keys of each kind. `unread` counts, by stream and consumer group, the
    entries that the group has not acknowledged, or not even read.
    """

    keys: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)


async def read_redis(url: str) -> RedisContents:
    contents = RedisContents()
    async with Redis.from_url(url, decode_responses=True) as redis:
        async for key in redis.scan_iter(count=1000):
            kind = str(await redis.type(key))
            contents.keys[f"{kind} {_ID.sub('*', key)}"] += 1
            if kind != "stream":
                continue
            for group in await redis.xinfo_groups(key):
                # The group's "lag" is wrong after Redis has loaded its file.
                unread = await redis.xrange(key, f"({group['last-delivered-id']}") or []
                contents.unread[f"{key} {group['name']}"] += group["pending"] + len(unread)
    return contents
