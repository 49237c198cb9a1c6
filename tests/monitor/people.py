"""A call whose caller and agent talk, and others who may join its room."""

from tests.monitor.harness import AGENT, OUR_RULE, ROOM, SIP, Harness

CALLER = "sip_+15550100"
COLLEAGUE = "sip_+61491570156"
AGENT_1, AGENT_2 = "agent-AJ_1", "agent-AJ_2"
BY_OUR_RULE = {"sip.callID": "SCL_1", "sip.ruleID": OUR_RULE, "sip.callStatus": "active"}
DIALED = {
    "sip.callID": "SCL_2",
    "sip.phoneNumber": "+61491570156",
    "sip.callStatus": "dialing",
}


async def talk(harness: Harness) -> None:
    """The caller and the agent talk."""
    await harness.register_with_room()
    await harness.joins(AGENT_1, AGENT)
    await harness.joins(CALLER, SIP, BY_OUR_RULE)
    await harness.reconcile(after=0)
    assert await harness.state() == ("ongoing", None)
    await harness.pass_time(20)


async def bring_in_colleague(harness: Harness, status: str = "active") -> None:
    """The agent dials a colleague into the room, who answers."""
    await harness.joins(COLLEAGUE, SIP, DIALED)
    harness.fake.participants[ROOM][-1].attributes["sip.callStatus"] = status
    await harness.pass_time(1)
