"""Several gateways that share a Redis: one page for all of them."""

from collections.abc import Iterator

import pytest

from tests.conftest import READ_KEY, GatewayStarter
from tests.livekit.server import redis_server
from tests.web.conftest import made_at
from tests.web.test_live import listening
from tests.web.test_sign_in import session, status_with

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def redis_url(server_process: None) -> Iterator[str]:
    with redis_server() as address:
        yield f"redis://{address}"


async def test_each_shows_all_calls_and_tells_what_happens_at_the_others(
    start_gateway: GatewayStarter, redis_url: str
) -> None:
    one = await start_gateway({"REDIS_URL": redis_url})
    other = await start_gateway({"REDIS_URL": redis_url})
    async with listening(other) as listener:
        call = await made_at(one).answered()
        while call.call_id not in (rows := await listener.rows()):
            pass
        assert "Ongoing" in rows[call.call_id]
    token = await session(one)
    assert await status_with(other, token, f"/calls/{call.call_id}") == 200
    async with other.get("/", headers={"X-API-Key": READ_KEY}) as page:
        assert call.call_id in await page.text()
