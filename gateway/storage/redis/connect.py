"""A Redis URL → a client: of one server, of Sentinel's master, or of a cluster."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection

#: Connections to Redis at most, and so requests at a time.
CONNECTIONS = 64
#: Sentinel's own port (redis.io/docs/latest/operate/oss_and_stack/management/sentinel).
SENTINEL_PORT = 26379

Client = Redis | RedisCluster
_SENTINEL = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
#: What may come behind the host: a database's number. A cluster has but one.
_DATABASE = {
    **dict.fromkeys(("redis", "rediss", *_SENTINEL), re.compile(r"/?\d{0,9}\Z")),
    **dict.fromkeys(_CLUSTER, re.compile(r"/?0?\Z")),
}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:,]+)(?::(\d{1,5}))?\Z")
USABLE = (
    "must be redis://[user:password@]host[:port][/db], the same with rediss:// for TLS, "
    "unix:///path, redis+sentinel://[user:password@]host[:port],…/master[/db] or "
    "redis+cluster://[user:password@]host[:port]; in a password / ? # @ % are written %2F %3F "
    "%23 %40 %25"
)


class UnusableUrl(ValueError):
    """The text says what the URL should be; it never repeats it, a password may be in it."""


@asynccontextmanager
async def connected(url: str, *, deadline: float) -> AsyncIterator[Client]:
    """A client while in the context; nothing is asked yet. `deadline` (s) bounds connecting.

    What is asked is bounded by Database. Raises UnusableUrl.
    """
    async with AsyncExitStack() as stack:
        try:
            client = _client(url, deadline, stack)
        except (ValueError, TypeError):
            # Without its cause: that one may repeat parts of the URL.
            raise UnusableUrl(USABLE) from None
        stack.push_async_callback(client.aclose)
        yield client


def url_problem(url: str) -> str:
    """What a URL should be, if it cannot be used; "" if it can."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or (parts.path if parts.scheme == "unix" else "")
        # What comes behind a password with a / ? or # in it.
        torn = "@" in parts.path + parts.query + parts.fragment or parts.fragment
        if not host or torn:
            return USABLE
        plain = _plain(parts)
        if parts.scheme != "unix" and not _DATABASE[parts.scheme].match(urlsplit(plain).path):
            return USABLE
        _options(plain, 1.0)
        if parts.scheme in _SENTINEL:
            _sentinels(parts)
    except (ValueError, TypeError, KeyError):
        return USABLE
    return ""


def _client(url: str, deadline: float, stack: AsyncExitStack) -> Client:
    if url_problem(url):
        raise ValueError
    parts = urlsplit(url)
    options = _options(_plain(parts), deadline)
    if parts.scheme in _SENTINEL:
        return _through_sentinel(parts, options, deadline, stack)
    kind = options.pop("connection_class", None)
    if parts.scheme in _CLUSTER:
        return RedisCluster(**options, ssl=kind is not None)
    chosen = {"connection_class": kind} if kind else {}
    return Redis.from_pool(ConnectionPool(**options, **chosen))


def _plain(parts: SplitResult) -> str:
    """The URL as redis-py knows it: of one server, the first one's where there are several."""
    scheme = _SENTINEL.get(parts.scheme) or _CLUSTER.get(parts.scheme) or parts.scheme
    path = parts.path
    if parts.scheme in _SENTINEL:
        path = "/" + path.strip("/").partition("/")[2]
    credentials, at, hosts = parts.netloc.rpartition("@")
    netloc = credentials + at + hosts.partition(",")[0]
    return parts._replace(scheme=scheme, netloc=netloc, path=path).geturl()


def _options(plain: str, deadline: float) -> dict[str, Any]:
    """What redis-py makes of a URL, and how we want it. Raises ValueError, TypeError."""
    options: dict[str, Any] = {**parse_url(plain)}
    options |= {
        # redis-py would wait by asyncio.wait_for(), which in Python 3.11 may swallow a cancellation
        # (bugs.python.org/issue37658), and would make a task of each request.
        "socket_timeout": None,
        "socket_connect_timeout": deadline,
        "decode_responses": True,
        "protocol": 2,
        # A connection that was closed while it lay idle is no reason to fail.
        "retry": Retry(NoBackoff(), 1, supported_errors=(NoConnection,)),
        "max_connections": CONNECTIONS,
    }
    secret = options.pop("sentinel_password", None)
    # Complains of options that there are not.
    ConnectionPool(**options).make_connection()  # type: ignore[no-untyped-call]
    return options | ({"sentinel_password": secret} if secret else {})


def _sentinels(parts: SplitResult) -> list[tuple[str, int]]:
    """`redis+sentinel://[user:password@]host[:port],…/master[/db][?sentinel_password=…]`."""
    if not parts.path.strip("/"):
        raise ValueError
    found = []
    for each in parts.netloc.rpartition("@")[2].split(","):
        if not (match := _HOST.match(each)):
            raise ValueError
        found.append((match[1].strip("[]"), int(match[2] or SENTINEL_PORT)))
    return found


def _through_sentinel(
    parts: SplitResult, options: dict[str, Any], deadline: float, stack: AsyncExitStack
) -> Redis:
    secret, tls = options.pop("sentinel_password", None), "connection_class" in options
    both = {
        name: value
        for name, value in options.items()
        if name.startswith(("ssl_", "socket_", "retry", "decode_", "protocol"))
    } | {"ssl": tls}
    ours = {name: options[name] for name in options.keys() - {"host", "port", "connection_class"}}
    # One that does not answer must leave time to ask the next.
    quick: Mapping[str, float] = dict.fromkeys(
        ("socket_timeout", "socket_connect_timeout"), deadline / 2
    )
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        _sentinels(parts),
        sentinel_kwargs={**both, **quick, **({"password": secret} if secret else {})},
        **ours,
        ssl=tls,
    )
    for each in sentinel.sentinels:
        stack.push_async_callback(each.aclose)
    client: Redis = sentinel.master_for(parts.path.strip("/").partition("/")[0])
    return client
