"""What a role sees of a call. Pure."""

from collections.abc import Mapping
from typing import Any

from common.redaction import mask_fields
from gateway.security.api_keys import Role

#: What people have said, or who they are by name, in one way or another.
_SAID: Mapping[str, Any] = {
    "report": None,
    "call_analysis": None,
    "metadata": {},
    "caller_name": "",
}


def visible(call: Mapping[str, Any], role: Role) -> Mapping[str, Any]:
    """`call` as the role may see it: `view` sees numbers masked as in logs, and nothing said."""
    if role.includes(Role.READ):
        return call
    return mask_fields({name: _SAID.get(name, value) for name, value in call.items()})
