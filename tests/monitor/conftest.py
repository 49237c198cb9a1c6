from collections.abc import AsyncIterator

import pytest
from livekit.protocol.sip import SIPDispatchRuleInfo

from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import mark
from tests.conftest import ConfigMaker
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit
from tests.monitor.harness import OUR_RULE, THEIR_RULE, URL, Harness


@pytest.fixture
async def harness(make_config: ConfigMaker, fake_livekit: FakeLiveKit) -> AsyncIterator[Harness]:
    config = make_config({"GATEWAY_PUBLIC_URL": URL}, inbound={"registered_timeout": 60})
    rules = ((OUR_RULE, mark()), (THEIR_RULE, ""))
    fake_livekit.dispatch_rules = [
        SIPDispatchRuleInfo(sip_dispatch_rule_id=name, metadata=metadata)
        for name, metadata in rules
    ]
    async with LiveKit.connected(fake_livekit.url, KEY, SECRET, timeout=2) as livekit:
        harness = Harness(config, fake_livekit, livekit)
        yield harness
        await harness.services.close()
