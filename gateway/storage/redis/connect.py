"""Connects to Redis by its URL: a single server, a master behind Sentinel, or a cluster."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import SplitResult, urlsplit

from redis.asyncio import ConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

#: Connections to Redis at most, and so commands at a time.
MAX_CONNECTIONS = 64
#: Sentinel's default port (redis.io/docs/latest/operate/oss_and_stack/management/sentinel).
SENTINEL_PORT = 26379

Client = Redis | RedisCluster
#: URL schemes, each with the scheme by which redis-py knows a single server of that kind.
_SENTINEL = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_CLUSTER = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
#: The path that a URL may have: a database's number. A cluster has database 0 only.
_DATABASE = {
    **dict.fromkeys(("redis", "rediss", *_SENTINEL), re.compile(r"/?\d{0,9}\Z")),
    **dict.fromkeys(_CLUSTER, re.compile(r"/?0?\Z")),
}
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:,]+)(?::(\d{1,5}))?\Z")
URL_SYNTAX = (
    "must be redis://[user:password@]host[:port][/db], the same with rediss:// for TLS, "
    "unix:///path, redis+sentinel://[user:password@]host[:port],…/master[/db] or "
    "redis+cluster://[user:password@]host[:port]; in a password / ? # @ % are written %2F %3F "
    "%23 %40 %25"
)


class UnusableUrl(ValueError):
    """The text says what the URL must be; it does not repeat the URL, which may have a password."""


@asynccontextmanager
async def connected(url: str, *, connect_timeout: float) -> AsyncIterator[Client]:
    """A client, closed with the context; it connects with its first command.

    `connect_timeout` in s; Database limits how long a command may take. Raises UnusableUrl.
    """
    async with AsyncExitStack() as stack:
        try:
            client = _client(url, connect_timeout, stack)
        except (ValueError, TypeError):
            # Without its cause, whose text may repeat parts of the URL.
            raise UnusableUrl(URL_SYNTAX) from None
        stack.push_async_callback(client.aclose)
        yield client


async def drop_idle_connections(client: Client) -> None:
    """Close those that no command uses, so that the next command makes a new one."""
    if isinstance(client, Redis):
        await client.connection_pool.disconnect(inuse_connections=False)
        return
    for node in client.get_nodes():
        await node.disconnect_free_connections()


def url_problem(url: str) -> str:
    """What the URL must be, if it cannot be used; "" if it can."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or (parts.path if parts.scheme == "unix" else "")
        # An unquoted / ? or # in a password moves the rest of it behind the host.
        is_split = "@" in parts.path + parts.query + parts.fragment or parts.fragment
        if not host or is_split:
            return URL_SYNTAX
        single = _single_server_url(parts)
        if parts.scheme != "unix" and not _DATABASE[parts.scheme].match(urlsplit(single).path):
            return URL_SYNTAX
        _options(single, 1.0)
        if parts.scheme in _SENTINEL:
            _sentinel_addresses(parts)
    except (ValueError, TypeError, KeyError):
        return URL_SYNTAX
    return ""


def _client(url: str, timeout: float, stack: AsyncExitStack) -> Client:
    if url_problem(url):
        raise ValueError
    parts = urlsplit(url)
    options = _options(_single_server_url(parts), timeout)
    if parts.scheme in _SENTINEL:
        return _master(parts, options, timeout, stack)
    connection_class = options.pop("connection_class", None)
    if parts.scheme in _CLUSTER:
        return RedisCluster(**options, ssl=connection_class is not None)
    if connection_class:
        options["connection_class"] = connection_class
    return Redis.from_pool(ConnectionPool(**options))


def _single_server_url(parts: SplitResult) -> str:
    """The URL of a single server, which redis-py can parse: of several hosts the first."""
    scheme = _SENTINEL.get(parts.scheme) or _CLUSTER.get(parts.scheme) or parts.scheme
    path = parts.path
    if parts.scheme in _SENTINEL:
        path = "/" + path.strip("/").partition("/")[2]
    credentials, at, hosts = parts.netloc.rpartition("@")
    netloc = credentials + at + hosts.partition(",")[0]
    return parts._replace(scheme=scheme, netloc=netloc, path=path).geturl()


def _options(url: str, timeout: float) -> dict[str, Any]:
    """redis-py's options for the URL of a single server. Raises ValueError, TypeError."""
    options: dict[str, Any] = {**parse_url(url)}
    options |= {
        # redis-py would use asyncio.wait_for(), which in Python 3.11 may swallow a cancellation
        # (bugs.python.org/issue37658) and makes a task for each command.
        "socket_timeout": None,
        "socket_connect_timeout": timeout,
        "decode_responses": True,
        # A damaged record is the reader's to report: a reply with it must not fail.
        "encoding_errors": "replace",
        "protocol": 2,
        # For a connection that the server closed while it was idle.
        "retry": Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        "max_connections": MAX_CONNECTIONS,
    }
    sentinel_password = options.pop("sentinel_password", None)
    # Raises for options that do not exist.
    ConnectionPool(**options).make_connection()  # type: ignore[no-untyped-call]  # redis-py's own
    return options | ({"sentinel_password": sentinel_password} if sentinel_password else {})


def _sentinel_addresses(parts: SplitResult) -> list[tuple[str, int]]:
    """Of `redis+sentinel://[user:password@]host[:port],…/master[/db][?sentinel_password=…]`."""
    if not parts.path.strip("/"):
        raise ValueError
    addresses = []
    for text in parts.netloc.rpartition("@")[2].split(","):
        if not (match := _HOST.match(text)):
            raise ValueError
        addresses.append((match[1].strip("[]"), int(match[2] or SENTINEL_PORT)))
    return addresses


def _master(
    parts: SplitResult, options: dict[str, Any], timeout: float, stack: AsyncExitStack
) -> Redis:
    """A client of the master that the Sentinels name."""
    sentinel_password = options.pop("sentinel_password", None)
    uses_tls = "connection_class" in options
    sentinel_options = {
        name: value
        for name, value in options.items()
        if name.startswith(("ssl_", "socket_", "retry", "decode_", "protocol"))
    }
    # Half the time: if one Sentinel does not answer, the next one must have time to.
    sentinel_options |= dict.fromkeys(("socket_timeout", "socket_connect_timeout"), timeout / 2)
    if sentinel_password:
        sentinel_options["password"] = sentinel_password
    master_options = {
        name: options[name] for name in options.keys() - {"host", "port", "connection_class"}
    }
    sentinel = Sentinel(  # type: ignore[no-untyped-call]  # redis-py's own
        _sentinel_addresses(parts),
        sentinel_kwargs={**sentinel_options, "ssl": uses_tls},
        **master_options,
        ssl=uses_tls,
    )
    for client in sentinel.sentinels:
        stack.push_async_callback(client.aclose)
    master: Redis = sentinel.master_for(parts.path.strip("/").partition("/")[0])
    return master
