"""A Redis URL → a client: of one server, of Sentinel's master, or of a cluster."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

#: Connections to Redis at most; who finds none free waits for one, within the time-out.
CONNECTIONS = 64
#: Sentinel's own port (redis.io/docs/latest/operate/oss_and_stack/management/sentinel).
SENTINEL_PORT = 26379

Client = Redis | RedisCluster
_SENTINEL = {"redis+sentinel": False, "rediss+sentinel": True}
_CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}


class UnusableUrl(ValueError):
    """The text says what the URL should be; it never repeats it, a password may be in it."""


@asynccontextmanager
async def connected(url: str, *, deadline: float) -> AsyncIterator[Client]:
    """A client while in the context; nothing is asked yet. `deadline` (s) bounds each request.

    Raises UnusableUrl.
    """
    how = {
        "socket_timeout": deadline,
        "socket_connect_timeout": deadline,
        "decode_responses": True,
        # A connection that was closed while it lay idle is no reason to fail.
        "retry": Retry(NoBackoff(), 1),
        "protocol": 2,
    }
    try:
        client = _client(url, deadline, how)
    except (ValueError, TypeError) as error:
        raise UnusableUrl(
            "must be redis://, rediss:// or unix://, redis+sentinel://host,host/master/0 or "
            "redis+cluster://host"
        ) from error
    try:
        yield client
    finally:
        await client.aclose()


def _client(url: str, deadline: float, how: Mapping[str, Any]) -> Client:
    parts = urlsplit(url)
    if parts.scheme in _SENTINEL:
        return _through_sentinel(parts, how)
    if parts.scheme in _CLUSTER:
        plain = parts._replace(scheme=_CLUSTER[parts.scheme]).geturl()
        return RedisCluster.from_url(plain, max_connections=CONNECTIONS, **how)
    pool = BlockingConnectionPool.from_url(
        url, max_connections=CONNECTIONS, timeout=deadline, **how
    )
    return Redis.from_pool(pool)


def _through_sentinel(parts: SplitResult, how: Mapping[str, Any]) -> Redis:
    """`redis+sentinel://[user:password@]host[:port],…/master[/db][?sentinel_password=…]`."""
    credentials, _, hosts = parts.netloc.rpartition("@")
    user, _, password = credentials.partition(":")
    master, _, db = parts.path.strip("/").partition("/")
    if not master:
        raise ValueError(parts.scheme)
    options = dict(parse_qsl(parts.query))
    secret = options.get("sentinel_password")
    sentinels = [
        (host, int(port or SENTINEL_PORT))
        for host, _, port in (
            each.rpartition(":") if ":" in each else (each, "", "") for each in hosts.split(",")
        )
    ]
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        sentinels,
        sentinel_kwargs={**how, **({"password": secret} if secret else {})},
        **how,
        ssl=_SENTINEL[parts.scheme],
        db=int(db or 0),
        username=unquote(user) or None,
        password=unquote(password) or None,
        max_connections=CONNECTIONS,
    )
    client: Redis = sentinel.master_for(master)
    return client
