"""What is in Redis when all is over: how many keys of which kind, and what nobody has read."""

import re
from collections import Counter
from dataclasses import dataclass, field

from redis.asyncio import Redis

#: What tells keys of one kind apart.
_NAME = re.compile(r"(call|outbound|evt|dlv)[-_][\w-]+|[0-9a-f-]{16,}")


@dataclass
class Kept:
    """`kinds` counts keys, their names' own parts taken out; `unread` has entries of streams that
    a consumer group has not acknowledged, or not even seen.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    unread: Counter[str] = field(default_factory=Counter)


async def look_into(url: str) -> Kept:
    kept = Kept()
    async with Redis.from_url(url, decode_responses=True) as redis:
        async for key in redis.scan_iter(count=1000):
            kind = str(await redis.type(key))
            kept.kinds[f"{kind} {_NAME.sub('*', key)}"] += 1
            if kind != "stream":
                continue
            for group in await redis.xinfo_groups(key):
                # Not the group's "lag": it counts wrong once Redis has come back from its file.
                unseen = await redis.xrange(key, f"({group['last-delivered-id']}") or []
                kept.unread[f"{key} {group['name']}"] += group["pending"] + len(unseen)
    return kept
