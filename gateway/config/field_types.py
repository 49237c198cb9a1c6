"""marshmallow fields, one for each type that a setting may have. No I/O."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import yaml
from marshmallow import ValidationError, fields

from common.addresses import Network, read_network
from common.allowed_hosts import AllowedHost, read_allowed_host
from gateway.calls.destinations import Credentials, FallbackTarget
from gateway.config.addresses import read_sip_uri
from gateway.config.settings import KeyPair
from gateway.security.api_keys import ApiKey, HashedKey, MalformedApiKey, read_hashed_key, read_key

#: How a list in YAML or JSON begins, and a mapping, which is none.
_IN_YAML = re.compile(r"\s*(?:[\[{]|-\s)")


def split_list(text: str) -> list[Any]:
    """The entries of a list in an environment variable: YAML or JSON, else comma-separated text.

    All scalars are text: a telephone number keeps its +. Raises ValueError; its text repeats
    nothing, because the list may be one of secrets.
    """
    if not _IN_YAML.match(text):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        entries = yaml.BaseLoader(text).get_single_data()
    except yaml.YAMLError:
        entries = None
    if not isinstance(entries, list):
        raise ValueError(  # noqa: TRY004 - it is the text that is wrong
            "Must be a list, such as a, b or [a, b]."
        )
    return entries


class Address(fields.String):
    """A host or URL in one of the forms that people paste; `read` makes it the form in use."""

    def __init__(self, read: Callable[[str], str]) -> None:
        super().__init__()
        self._read = read

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs) or ""
        try:
            return self._read(text) if text.strip() else ""
        except ValueError as error:
            raise ValidationError(str(error)) from None


class _List(fields.Field[tuple[Any, ...]]):
    """A list in YAML; an environment variable may have it as comma-separated text."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            try:
                value = split_list(value)
            except ValueError as error:
                raise ValidationError(str(error)) from None
        if not isinstance(value, list):
            raise ValidationError("Must be a list.")
        return tuple(self.item(entry) for entry in value)

    def item(self, entry: Any) -> Any:
        # YAML reads +15550100 as a number without its +, and 0123 as 83.
        if not (isinstance(entry, str) and entry.strip()):
            raise ValidationError("Each entry must be text; quote numbers.")
        return entry.strip()


class _ApiKeys(_List):
    def item(self, entry: Any) -> ApiKey:
        try:
            return read_key(str(entry))
        except MalformedApiKey as error:
            raise ValidationError(str(error)) from None


class _HashedKeys(_List):
    def item(self, entry: Any) -> HashedKey:
        try:
            return read_hashed_key(str(entry))
        except MalformedApiKey as error:
            raise ValidationError(str(error)) from None


class _Pairs(_List):
    """Entries `left:right`. Messages do not repeat them, because the right side is a secret."""

    form: str
    pair: Callable[[str, str], Any]

    def item(self, entry: Any) -> Any:
        left, _, right = str(entry).partition(":")
        if not (left and right):
            raise ValidationError(f"Each must be {self.form}.")
        return self.pair(left, right)


class _BasicAuth(_Pairs):
    form = "user:password"
    pair = Credentials


class _KeyPairs(_Pairs):
    form = "key:secret"
    pair = KeyPair


class _Networks(_List):
    def item(self, entry: Any) -> Network:
        try:
            return read_network(str(entry))
        except ValueError as error:
            raise ValidationError(
                f"Must be addresses or networks such as 192.0.2.0/24: {error}."
            ) from None


class _AllowedHosts(_List):
    def item(self, entry: Any) -> AllowedHost:
        try:
            return read_allowed_host(str(entry))
        except ValueError as error:
            raise ValidationError(
                "Must be hosts such as n8n.example.com, *.example.com, n8n:5678, http://n8n, "
                f"192.0.2.1 or 192.0.2.0/24: {error}."
            ) from None


#: The URL of a recording, as Jambonz fetches it.
_RECORDING = re.compile(r"https?://[^\s/?#]+([/?#]\S*)?")


class _FallbackTargets(_List):
    """Entries are mappings: in an environment variable the list is YAML or JSON."""

    def item(self, entry: Any) -> FallbackTarget:
        kinds = {"sip", "phone", "play", "say"}
        is_valid = (
            isinstance(entry, dict)
            and len(kinds & entry.keys()) == 1
            and entry.keys() <= kinds | ({"trunk"} if "phone" in entry else set())
            and all(isinstance(value, str) and value.strip() for value in entry.values())
            and _RECORDING.fullmatch(entry.get("play", "https://host"))
        )
        if not is_valid:
            raise ValidationError(
                "Each entry must be one of {sip: 'sip:…'}, {phone: '+…', trunk: '…'}, "
                "{play: 'https://…'}, {say: '…'}; quote numbers."
            )
        target = FallbackTarget(**{key: value.strip() for key, value in entry.items()})
        try:
            return replace(target, sip=read_sip_uri(target.sip)) if target.sip else target
        except ValueError as error:
            raise ValidationError(f"sip {error}.") from None


#: The field for each type that is used in settings.py.
FIELD_TYPES: Mapping[Any, type[fields.Field[Any]]] = {
    str: fields.String,
    int: fields.Integer,
    float: fields.Float,
    bool: fields.Boolean,
    tuple[str, ...]: _List,
    tuple[ApiKey, ...]: _ApiKeys,
    tuple[HashedKey, ...]: _HashedKeys,
    tuple[Credentials, ...]: _BasicAuth,
    tuple[KeyPair, ...]: _KeyPairs,
    tuple[Network, ...]: _Networks,
    tuple[AllowedHost, ...]: _AllowedHosts,
    tuple[FallbackTarget, ...]: _FallbackTargets,
}
