"""The OpenAPI document as what a reader wants to know of each endpoint; two pages show it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import ErrorCode

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a field of an object.

    `kinds` are JSON Schema's types, `values` those that are allowed ("" for any), `shape` the name
    of its schema, or of its entries', "" for none. `where`: a parameter's place, such as `query`.
    """

    name: str
    kinds: tuple[str, ...]
    values: tuple[str, ...]
    note: str
    shape: str = ""
    where: str = ""
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """A body. `shape` as for Field; `text` says what it is, if it has no `fields`."""

    media_type: str
    shape: str
    is_array: bool
    fields: tuple[Field, ...]
    text: str
    example: Any
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """An endpoint, or a callback: that has no path. `schemes` are its ways to authenticate.

    `responses` by HTTP status, None for one without a body.
    """

    id: str
    method: str
    path: str
    group: str
    summary: str
    role: str
    schemes: tuple[str, ...]
    parameters: tuple[Field, ...]
    body: Message | None
    responses: Mapping[str, Message | None]
    errors: tuple[ErrorCode, ...]


class Reference:
    """Reads a document that openapi.py has made."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self._components = document["components"]["schemas"]

    def endpoints(self) -> Iterator[Operation]:
        for path, methods in self._document["paths"].items():
            for method, operation in methods.items():
                yield self._operation(method.upper(), path, operation)

    def callbacks(self) -> Iterator[Operation]:
        for methods in self._document["webhooks"].values():
            for method, operation in methods.items():
                yield self._operation(method.upper(), "", operation)

    def shapes(self) -> Iterator[tuple[str, tuple[Field, ...]]]:
        """Every named object, with its fields."""
        for name, schema in self._components.items():
            yield name, self._fields(schema)

    def scheme_name(self, scheme: str) -> str:
        """What people call a way to authenticate."""
        return str(self._document["components"]["securitySchemes"][scheme]["x-name"])

    def _operation(self, method: str, path: str, operation: Schema) -> Operation:
        body, responses = operation.get("requestBody"), operation["responses"]
        return Operation(
            id=operation["operationId"],
            method=method,
            path=path,
            group=operation["tags"][0],
            summary=operation["summary"],
            role=operation.get("x-role", ""),
            schemes=tuple(name for scheme in operation["security"] for name in scheme),
            parameters=tuple(self._parameter(it) for it in operation["parameters"]),
            body=self._message(body) if body else None,
            responses={
                status: self._message(response)
                for status, response in responses.items()
                if status.isdecimal() and int(status) < 300
            },
            errors=tuple(
                ErrorCode(code)
                for status, response in responses.items()
                if status.isdecimal() and int(status) >= 400
                for code in _codes(response)
            ),
        )

    def _parameter(self, parameter: Schema) -> Field:
        note = _note({**parameter["schema"], "description": parameter.get("description", "")})
        return Field(
            parameter["name"],
            _kinds(parameter["schema"]),
            _values(parameter["schema"]),
            note,
            where=parameter["in"],
            is_required=parameter.get("required") or parameter["in"] == "path",
        )

    def _message(self, message: Schema) -> Message | None:
        if "content" not in message:
            return None
        ((media_type, holder),) = message["content"].items()
        schema = holder["schema"]
        is_array = self._resolved(schema).get("type") == "array"
        entry = self._resolved(schema)["items"] if is_array else schema
        resolved = self._resolved(entry)
        return Message(
            media_type=media_type,
            shape=_reference(entry),
            is_array=is_array,
            fields=self._fields(resolved),
            text=resolved.get("description") or " or ".join(_kinds(resolved)),
            example=holder.get("example"),
            is_required=bool(message.get("required", True)),
        )

    def _fields(self, schema: Schema) -> tuple[Field, ...]:
        required = schema.get("required", ())
        return tuple(
            self._field(name, field, is_required=name in required)
            for name, field in schema.get("properties", {}).items()
        )

    def _field(self, name: str, field: Schema, *, is_required: bool) -> Field:
        resolved = self._resolved(field)
        return Field(
            name,
            _kinds(resolved),
            _values(resolved),
            _note(field),
            shape=_reference(field),
            is_required=is_required,
        )

    def _resolved(self, schema: Schema) -> Schema:
        """`schema`; if it only names one, or restricts one further, that one."""
        named = schema.get("$ref") or next(iter(schema.get("allOf", [{}]))).get("$ref")
        resolved: Schema = self._components[_last(named)] if named else schema
        return resolved


def _codes(response: Schema) -> Iterator[str]:
    for part in response["content"]["application/json"]["schema"].get("allOf", []):
        yield from part.get("properties", {}).get("error", {}).get("enum", [])


def _reference(schema: Schema) -> str:
    """The schema that a field or its entries have; a field that may be null names it in a list."""
    parts = [schema, schema.get("items", {}), *schema.get("anyOf", []), *schema.get("allOf", [])]
    return next((_last(part["$ref"]) for part in parts if "$ref" in part), "")


def _last(reference: str) -> str:
    return reference.rpartition("/")[2]


def _kinds(schema: Schema) -> tuple[str, ...]:
    kind = schema.get("type", "object" if "allOf" in schema or "anyOf" in schema else "any")
    return tuple(kind) if isinstance(kind, list) else (kind,)


def _values(schema: Schema) -> tuple[str, ...]:
    return tuple(str(value) for value in schema.get("enum", ()) if value is not None)


def _note(schema: Schema) -> str:
    """Description, bounds and default."""
    notes = [str(schema.get("description", ""))]
    if "minimum" in schema and "maximum" in schema:
        notes.append(f"{schema['minimum']} to {schema['maximum']}")
    if "maxLength" in schema:
        notes.append(f"at most {schema['maxLength']} characters")
    if schema.get("default") not in (None, "", [], {}):
        notes.append(f"default `{schema['default']}`".lower())
    return "; ".join(filter(None, notes))
