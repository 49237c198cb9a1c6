"""URLs of Redis: which can be used, and that no error or log repeats their password."""

import pytest

from gateway.config.loader import build_config
from gateway.errors import ConfigError
from gateway.server import serve
from gateway.storage.redis.connect import UnusableUrl, connected, url_problem
from tests.conftest import ConfigMaker


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "http://terces@redis",
        "redis:6379",
        "redis://:terces/x@redis",
        "redis://:terces#x@redis",
        "redis://u:1234?x@redis",
        "redis://redis:port",
        "redis://redis/database",
        "redis://redis?terces=1",
        "redis://redis?socket_timeout=terces",
        "redis+sentinel://:terces@redis",
        "redis+sentinel://:terces@redis:x/mymaster",
        "redis+sentinel://redis,:5/mymaster",
        "redis+cluster://redis/1",
        "unix://",
    ],
)
async def test_an_unusable_url_is_rejected_without_repeating_it(
    url: str, make_config: ConfigMaker
) -> None:
    assert "must be redis://" in url_problem(url)
    with pytest.raises(UnusableUrl) as unusable:
        async with connected(url, connect_timeout=1.0):
            pass
    assert "terces" not in str(unusable.value)
    assert unusable.value.__suppress_context__
    with pytest.raises(ConfigError) as wrong:
        await serve(make_config({"REDIS_URL": url}))
    assert "REDIS_URL" in str(wrong.value)
    assert "terces" not in str(wrong.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:terces@redis",
        "rediss://gw:terces@redis:6380/0",
        "redis://:ter/ces@redis",
        "redis://redis?password=terces",
        "redis+sentinel://redis/mymaster?sentinel_password=terces",
    ],
)
def test_a_url_with_a_password_is_accepted_from_the_environment_only(url: str) -> None:
    with pytest.raises(ConfigError, match="set REDIS_URL in the environment") as refused:
        build_config({"storage": {"url": url}}, {})
    assert "ces" not in str(refused.value).replace("place", "")
    assert build_config({"storage": {"url": "redis://redis:6379/1"}}, {}).storage.url
    assert "terces" not in repr(build_config({}, {"REDIS_URL": url}))
