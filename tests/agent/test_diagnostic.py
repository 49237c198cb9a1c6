"""The diagnostic agent holds its greeting until the caller can hear it."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.context import CallContext
from agent.room import inaudible_for

CALL = CallContext(audible_after=0.5)


@pytest.mark.field("J3")
@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [({"sip.callID": "SCL_1", "sip.callStatus": "active"}, 0.5), ({"sip.callStatus": "active"}, 0)],
    ids=["a leg of Jambonz", "a browser"],
)
def test_only_a_caller_with_a_sip_leg_is_greeted_later(
    attributes: dict[str, str], seconds: float
) -> None:
    caller = cast(Any, SimpleNamespace(attributes=attributes))
    assert inaudible_for(caller, CALL) == seconds
