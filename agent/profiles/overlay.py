"""Lays one section over another: what it says holds, the rest stays. Pure."""

from typing import Any, TypeVar

from agent.profiles.profile import Plugin, Section

S = TypeVar("S", bound=Section)

#: Mappings that add to the other's; all other values take the other's place.
_ADDS = frozenset({"variables", "targets", "pronounce"})


def overlay(base: S, over: Section) -> S:
    """`base`, changed by the keys that `over` was given and that `base` has.

    In another kind of section, such as SessionOptions over a Profile, None is not given.
    """
    given = over.model_fields_set & type(base).model_fields.keys()
    changed = {
        name: _laid_over(name, getattr(base, name), value)
        for name in given
        if (value := getattr(over, name)) is not None or isinstance(over, type(base))
    }
    return base.model_copy(update=changed)


def _laid_over(name: str, base: Any, over: Any) -> Any:
    if isinstance(base, Section) and isinstance(over, Section) and not isinstance(over, Plugin):
        return overlay(base, over)
    return {**base, **over} if name in _ADDS else over
